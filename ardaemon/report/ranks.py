"""The best and the worst of many values, a few of each, collected in one pass. Pure."""

from bisect import insort
from collections.abc import Callable
from typing import Generic, TypeVar

from ardaemon.core.model import Direction
from ardaemon.report.reading import rank

Line = TypeVar("Line")


class Ranks(Generic[Line]):
    """Keeps lines of the `kept` best values and the `kept` worst; of equal values the earlier is better."""

    def __init__(self, direction: Direction, kept: int) -> None:
        self.direction, self.kept, self.order = direction, kept, 0
        self._best: list[tuple[float, int, Line]] = []
        self._worst: list[tuple[float, int, Line]] = []

    def add(self, value: float, line: Callable[[], Line]) -> None:
        """Take in one more value; its line is asked for only where it has a place."""
        self.order += 1
        place = rank(value, self.direction)
        self._insert(self._best, place, self.order, line)
        self._insert(self._worst, -place, -self.order, line)

    def best(self) -> tuple[Line, ...]:
        """Return the best, the best first."""
        return tuple(line for _, _, line in self._best)

    def worst(self) -> tuple[Line, ...]:
        """Return the worst, the worst first, but for those that are among the best."""
        return tuple(line for _, _, line in self._worst if line not in self.best())

    def _insert(
        self, places: list[tuple[float, int, Line]], place: float, order: int, line: Callable[[], Line]
    ) -> None:
        if len(places) == self.kept and (place, order) > places[-1][:2]:
            return  # nearly always
        insort(places, (place, order, line()), key=lambda one: one[:2])
        del places[self.kept :]
