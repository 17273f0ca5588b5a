"""Work that is done in pieces of a few milliseconds.

Python code holds the interpreter's lock while it runs. Between two pieces the daemon's other threads have
their turn, the event loop first of all.
"""

from collections.abc import Generator
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")
Work: TypeAlias = Generator[None, None, T]  # each `yield` ends a piece
PIECE = 500  # runs that are looked at in one piece, where that takes microseconds for each
HEAVY_PIECE = 50  # where their texts are cleaned


class Pieces(Generic[T]):
    """Work, and its result once `step` has done the last piece of it."""

    result: T

    def __init__(self, work: Work[T]) -> None:
        self._work = work

    def step(self) -> bool:
        """Do the next piece, and return whether there are more."""
        try:
            next(self._work)
        except StopIteration as end:
            self.result = end.value
            return False
        return True


def finished(work: Work[T]) -> T:
    """Do all of the work at once, where nobody waits for his turn."""
    pieces = Pieces(work)
    while pieces.step():
        pass
    return pieces.result
