"""The loop that applies what assign() decides: asleep until something changes."""

import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio.abc
from msgspec.structs import replace

from ardaemon.assign import assign
from ardaemon.board import Board
from ardaemon.core.queue import Facts
from ardaemon.pipeline.flight import Flight


async def loop(
    board: Board,
    fly: Callable[[Flight], Coroutine[Any, Any, None]],
    known: Callable[[], Awaitable[object]],
    look: Callable[[], None],
    tasks: anyio.abc.TaskGroup,
) -> None:
    """Start what can start whenever something changed.

    `look` asks for a look at the GPUs, which changes something: on an old one no run is put there.
    """
    await known()  # so that the first decision knows the machine
    while True:
        changed, now = board.changed, time.monotonic()
        facts = board.facts(now)
        fresh = board.gpus.is_fresh(now)
        decision = assign(facts if fresh else _without_gpus(facts))
        if fresh:
            board.kept = decision.reservation.key if decision.reservation is not None else None
        for start in decision.starts:
            tasks.start_soon(fly, board.occupy(start, now))
        if board.wants_gpus() and (board.gpus.draining or not fresh):
            look()
        await changed.wait()


def _without_gpus(facts: Facts) -> Facts:
    """Runs on CPU slots alone: the others wait for the next look, and so does what is promised to them."""
    return replace(facts, waiting=tuple(run for run in facts.waiting if not run.need.gpus))
