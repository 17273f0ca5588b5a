"""Chooses the runs that the page draws: all of them, or of a long history those that give it its shape.

Past the limit a span of neighbouring runs is drawn by its extremes: its best and its worst value, its longest
run, its largest memory, and one run without a value. Advances and the newest runs are drawn one by one. So
nothing that stands out is lost, and the picture has the same density everywhere but at its end.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby

from msgspec import Struct

from ardaemon.core.facts import RunFacts
from ardaemon.core.layout import RUN_ID, run_number
from ardaemon.report.reading import level_of

POINTS_MAX = 10_000  # as many as the page's bytes have room for, and more than a screen shows apart
NEWEST_SHARE = 5  # a fifth of the points is for the newest runs
ADVANCES_SHARE = 3  # a third for advances: a metric that improves more often has no shape to lose
# What a run is drawn as: a letter for each verdict, and one for a rerun of the best that gave a value.
KINDS = {"advance": "a", "revert": "r", "crash": "c", "timeout": "t", "invalid": "i", "interrupted": "x"}
ADVANCE, MEASURE = KINDS["advance"], "m"


class Point(Struct, frozen=True, gc=False):
    """One run as it is drawn; memory in MiB."""

    number: int
    kind: str  # of KINDS, or MEASURE
    value: float | None
    seconds: float
    vram_mb: float | None
    against: int = 0  # number of the run that was the best when this one was judged; 0: there was none


def point_of(run: RunFacts) -> Point:
    """Return the point of a run that has a run's id."""
    kind = MEASURE if run.measure and run.verdict == "revert" else KINDS[run.verdict]
    before = run.best_run_before or ""
    against = run_number(before) if RUN_ID.fullmatch(before) else 0
    return Point(run_number(run.run_id), kind, level_of(run), run.seconds, run.peak_vram_mb, against)


class Points:
    """The points that are kept of a stream of runs, at most `most` of them."""

    def __init__(self, most: int = POINTS_MAX) -> None:
        self.most, self.total = most, 0
        self._newest: deque[Point] = deque()
        self._advances = _Thinned(most // ADVANCES_SHARE)
        self._others = _Thinned(most - most // ADVANCES_SHARE - most // NEWEST_SHARE)

    def add(self, point: Point) -> None:
        """Take the next run."""
        self.total += 1
        self._newest.append(point)
        if len(self._newest) > self.most // NEWEST_SHARE:
            oldest = self._newest.popleft()
            (self._advances if oldest.kind == ADVANCE else self._others).points.append(oldest)
        if self.thinned:
            self._advances.shorten()
            self._others.shorten()

    @property
    def thinned(self) -> bool:
        """Tell whether some runs may be left out."""
        return self.total > self.most

    @property
    def span(self) -> int:
        """Return how many neighbouring runs are drawn by their extremes; 1: each is drawn."""
        return self._others.span

    @property
    def newest(self) -> int:
        """Return the number of the first run from which on none is left out; 0 before there is any."""
        return min((point.number for point in self._newest), default=0)

    def kept(self) -> list[Point]:
        """Return the points, in the order of their numbers."""
        old = [*self._advances.even(), *self._others.even()]
        return sorted([*old, *self._newest], key=lambda point: point.number)


class _Thinned:
    """Points of which each span of neighbouring runs keeps its extremes, once there are more than `most`."""

    def __init__(self, most: int) -> None:
        self.most, self.span = most, 1
        self.points: list[Point] = []

    def shorten(self) -> None:
        """Bring the points down to half of the limit where they are beyond it; the other half fills again."""
        if len(self.points) > self.most:
            self.points = self.even()
            while len(self.points) > self.most // 2:
                self.span *= 2
                self.points = self.even()

    def even(self) -> list[Point]:
        """Return the points with the newer ones as thin as the older."""
        if self.span == 1:
            return self.points
        ordered = sorted(self.points, key=lambda point: point.number)
        return [kept for _, near in groupby(ordered, self._place) for kept in _extremes(near)]

    def _place(self, point: Point) -> int:
        return point.number // self.span


def _extremes(near: Iterable[Point]) -> Iterator[Point]:
    """Yield those of some neighbouring points that stand out, each once, in their order."""
    points = list(near)
    valued = [point for point in points if point.value is not None]
    without = [point for point in points if point.value is None][:1]
    outstanding = [max(points, key=_seconds), max(points, key=_vram), *without]
    if valued:
        outstanding += [min(valued, key=_value), max(valued, key=_value)]
    chosen = {point.number for point in outstanding}
    return (point for point in points if point.number in chosen)


def _seconds(point: Point) -> float:
    return point.seconds


def _vram(point: Point) -> float:
    return point.vram_mb or 0.0


def _value(point: Point) -> float:
    return point.value or 0.0
