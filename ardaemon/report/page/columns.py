"""Packs points into columns: 10,000 runs are 120 KB in the page, where plain JSON would be 300 KB."""

import math
import sys
from array import array
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from ardaemon.report.page.pieces import PIECE, Work
from ardaemon.report.page.points import Point

STEPS = (1 << 16) - 2  # of a whole number of 16 bits; 0 says that nothing is known
CHANGES_MAX = 4_000  # numbers in `against`: some 25 KB
FLOAT_MIN, FLOAT_MAX = 1e-37, 3e38  # what 32 bits hold with all their digits (IEEE 754 binary32)


class Column(Struct, frozen=True):
    """Measurements as base64 of little-endian whole numbers n of 16 bits: (n - 1) * unit; 0 is unknown."""

    unit: float
    data: str


class Columns(Struct, frozen=True):
    """The points, column by column, each in the same order.

    `numbers` has the distance of each run's number from the one before; -n says that the last distance comes
    n times more. `kinds` has a letter for each run. `values` is base64 of little-endian floats of 64 bits if
    `wide`, else of 32; NaN is no value. `against` has a place and a run's number by turns: from that place on
    runs were judged against that run, 0 is none; it is empty where it would be long.
    """

    numbers: tuple[int, ...]
    kinds: str
    against: tuple[int, ...]
    wide: bool
    values: str
    seconds: Column
    vram_mb: Column


def columns(points: Sequence[Point]) -> Work[Columns]:
    """Return the points as columns."""
    values, wide = array("d"), False
    for at in range(0, len(points), PIECE):
        piece = [math.nan if point.value is None else point.value for point in points[at : at + PIECE]]
        values.extend(piece)
        wide = wide or not all(map(_fits, piece))
        yield
    seconds = yield from _column([point.seconds for point in points])
    vram = yield from _column([point.vram_mb for point in points])
    return Columns(
        numbers=tuple(_gaps([point.number for point in points])),
        kinds="".join([point.kind for point in points]),
        against=_against(points),
        wide=wide,
        values=_base64(values if wide else array("f", values)),
        seconds=seconds,
        vram_mb=vram,
    )


def _against(points: Sequence[Point]) -> tuple[int, ...]:
    """Return where the run that was to be beaten changes; () if it changes too often."""
    changes: list[int] = []
    now = 0
    for place, point in enumerate(points):
        if point.against != now:
            now = point.against
            changes += (place, now)
    return tuple(changes) if len(changes) <= CHANGES_MAX else ()


def _fits(value: float) -> bool:
    return value == 0 or math.isnan(value) or FLOAT_MIN < abs(value) < FLOAT_MAX


def _gaps(numbers: Iterable[int]) -> Iterator[int]:
    """Yield the distances between numbers in ascending order, repeated ones together."""
    before, gap, repeats = 0, 0, 0
    for number in numbers:
        if number - before == gap:
            repeats += 1
        else:
            if repeats:
                yield -repeats
            gap, repeats = number - before, 0
            yield gap
        before = number
    if repeats:
        yield -repeats


def _column(values: Sequence[float | None]) -> Work[Column]:
    """Pack measurements of at least 0 in steps of the largest one."""
    unit = max((value for value in values if value is not None), default=0.0) / STEPS
    unit = unit if unit > 0 else 1.0
    steps = array("H")
    for at in range(0, len(values), PIECE):
        piece = values[at : at + PIECE]
        steps.extend([0 if value is None else 1 + round(max(value, 0.0) / unit) for value in piece])
        yield
    return Column(unit, _base64(steps))


def _base64(numbers: "array[float] | array[int]") -> str:
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode("ascii")
