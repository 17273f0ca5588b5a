"""The primary metric's history in bounded memory: thinned out evenly, with its ends and extremes kept."""

from msgspec import Struct, field

from ardaemon.metrics.base import Point
from ardaemon.metrics.formats.lines import Place, step

# Points of a curve: enough for a plot of any usual width, and at most 100 KB as JSON lines.
POINTS_MAX = 1000

_Raw = tuple[float, Place, float | None]


class Curve(Struct):
    """Collects points in the order in which they were written.

    The caller leaves out values that are not finite.
    """

    _most: int = POINTS_MAX
    _stride: int = 1
    _count: int = 0
    _kept: dict[int, Point] = field(default_factory=dict)
    _low: tuple[int, _Raw] | None = None
    _high: tuple[int, _Raw] | None = None
    _last: tuple[int, _Raw] | None = None

    def add(self, value: float, place: Place, wall: float | None) -> None:
        """Add one value. When too many points are kept, every second one is dropped."""
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
        """Return the first, the last, the lowest and the highest point, and some between, in order."""
        ends = {end[0]: _point(end[1]) for end in (self._low, self._high, self._last) if end}
        return tuple(point for _, point in sorted((self._kept | ends).items(), key=lambda item: item[0]))


def _point(raw: _Raw) -> Point:
    value, place, wall = raw
    return Point(step(place), value, wall)
