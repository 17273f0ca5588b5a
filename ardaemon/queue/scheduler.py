"""The loop that applies what assign() decides: asleep until something changes."""

import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio.abc
from msgspec.structs import replace

from ardaemon.core.queue import Facts
from ardaemon.pipeline.flight import Flight
from ardaemon.queue import facts
from ardaemon.queue.assign import assign
from ardaemon.queue.board import Board


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
    placement = board.placement
    await known()  # so that the first decision knows the machine
    while True:
        changed, now = board.changed, time.monotonic()
        found = facts.gather(board, now)
        fresh = placement.gpus.is_fresh(now)
        decision = assign(found if fresh else _without_gpus(found))
        if fresh:
            placement.kept = decision.reservation.key if decision.reservation is not None else None
        for start in decision.starts:
            flight = board.flights[start.key]
            placement.occupy(flight, start, now)
            tasks.start_soon(fly, flight)
        if board.wants_gpus() and (placement.gpus.draining or not fresh):
            look()
        await changed.wait()


def _without_gpus(facts: Facts) -> Facts:
    """Runs on CPU slots alone: the others wait for the next look, and so does what is promised to them."""
    return replace(facts, waiting=tuple(run for run in facts.waiting if not run.need.gpus))
