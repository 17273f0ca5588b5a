"""The primary metric's history in bounded memory: thinned evenly, its ends and extremes always kept."""

from ardaemon.metrics.base import Point
from ardaemon.metrics.formats.lines import Place, step

# Points of a curve: enough for a plot of any width that is looked at; 100 KB at most as JSON lines.
POINTS_MAX = 1000

_Raw = tuple[float, Place, float | None]


class Curve:
    """Takes points in the order of writing; what is not finite is for the caller to leave out."""

    def __init__(self, most: int = POINTS_MAX) -> None:
        self._most, self._stride, self._count = most, 1, 0
        self._kept: dict[int, Point] = {}
        self._low: tuple[int, _Raw] | None = None
        self._high: tuple[int, _Raw] | None = None
        self._last: tuple[int, _Raw] | None = None

    def add(self, value: float, place: Place, wall: float | None) -> None:
        """One more value."""
        here = self._count, (value, place, wall)
        self._count += 1
        self._last = here
        if self._low is None or value < self._low[1][0]:
            self._low = here
        if self._high is None or value > self._high[1][0]:
            self._high = here
        if here[0] % self._stride == 0:
            self._kept[here[0]] = _point(here[1])
            if len(self._kept) > self._most:
                self._stride *= 2
                self._kept = {at: point for at, point in self._kept.items() if at % self._stride == 0}

    def points(self) -> tuple[Point, ...]:
        """What is kept: the first, the last, lowest and highest, and some between."""
        ends = {found[0]: _point(found[1]) for found in (self._low, self._high, self._last) if found}
        return tuple(point for _, point in sorted((self._kept | ends).items(), key=lambda item: item[0]))


def _point(raw: _Raw) -> Point:
    value, place, wall = raw
    return Point(step(place), value, wall)
