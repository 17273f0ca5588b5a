"""The loop that applies what assign() decides: asleep until something changes."""

import time
from collections.abc import Callable, Coroutine
from typing import Any

import anyio.abc

from ardaemon.assign import assign
from ardaemon.board import Board
from ardaemon.pipeline.flight import Flight


async def loop(
    board: Board,
    fly: Callable[[Flight], Coroutine[Any, Any, None]],
    look: Callable[[], None],
    tasks: anyio.abc.TaskGroup,
) -> None:
    """Start what can start whenever something changed.

    `look` asks for a look at the GPUs, which changes something: on an old one no run is put there.
    """
    while True:
        changed, now = board.changed, time.monotonic()
        decision = assign(board.facts(now))
        board.kept = decision.reservation.key if decision.reservation is not None else None
        for start in decision.starts:
            tasks.start_soon(fly, board.occupy(start, now))
        if board.wants_gpus() and (board.gpus.draining or not board.gpus.is_fresh(now)):
            look()
        await changed.wait()
