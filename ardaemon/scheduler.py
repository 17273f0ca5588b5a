"""Which waiting run starts where: a pure decision, and the loop that applies it."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import anyio
import anyio.abc
from msgspec import Struct

from ardaemon.pipeline.flight import Flight


class Slot(Struct, frozen=True):
    """A place where one run can be: a GPU later, one CPU slot without any."""

    name: str


class Waiting(Struct, frozen=True, kw_only=True):
    """A run in the queue; `seq` is the order of submission."""

    key: tuple[str, str]
    seq: int
    held: bool = False
    alone_in: str | None = None  # its experiment, where that has one run at a time


class Start(Struct, frozen=True):
    """This run, on that slot."""

    key: tuple[str, str]
    slot: Slot


def assign(queue: Sequence[Waiting], free: Sequence[Slot], busy: frozenset[str] = frozenset()) -> list[Start]:
    """First come, first served over the free slots; `busy`: experiments with a run under way."""
    slots, taken, starts = list(free), set(busy), []
    for run in sorted(queue, key=lambda w: w.seq):
        if not slots:
            break
        if run.held or run.alone_in in taken:
            continue
        if run.alone_in is not None:
            taken.add(run.alone_in)
        starts.append(Start(run.key, slots.pop(0)))
    return starts


class Board(Protocol):
    """What the loop needs to know of all flights."""

    changed: anyio.Event

    def waiting(self) -> list[Waiting]:
        """The queue."""
        ...

    def free(self) -> list[Slot]:
        """Slots that nothing holds."""
        ...

    def busy(self) -> frozenset[str]:
        """Experiments with a run under way."""
        ...

    def occupy(self, start: Start) -> Flight:
        """Give the slot to the run."""
        ...


async def loop(
    board: Board, fly: Callable[[Flight], Coroutine[Any, Any, None]], tasks: anyio.abc.TaskGroup
) -> None:
    """Start what can start whenever something changed; asleep in between."""
    while True:
        changed = board.changed
        for start in assign(board.waiting(), board.free(), board.busy()):
            tasks.start_soon(fly, board.occupy(start))
        await changed.wait()
