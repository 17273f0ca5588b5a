"""The columns in which the page has its points: what a reader unpacks is what was packed."""

import math
import struct
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.report.page.columns import STEPS, Column, Columns, columns
from ardaemon.report.page.pieces import finished
from ardaemon.report.page.points import KINDS, MEASURE, Point
from ardaemon.report.page.records import encoded

LEAST = 1e-300  # a measurement that is as good as none
BYTES_PER_RUN = 13  # so that ten thousand runs leave room for 400 KB of diffs


def packed_of(points: list[Point]) -> Columns:
    return finished(columns(points))


def numbers_of(packed: Columns) -> list[int]:
    """The numbers, as web/data.js unpacks them."""
    numbers, gap, number = [], 0, 0
    for step in packed.numbers:
        gap = step if step > 0 else gap
        for _ in range(1 if step > 0 else -step):
            number += gap
            numbers.append(number)
    return numbers


def values_of(packed: Columns) -> list[float]:
    data = b64decode(packed.values)
    return [value for (value,) in struct.iter_unpack("<d" if packed.wide else "<f", data)]


def measured(column: Column) -> list[float | None]:
    steps = (step for (step,) in struct.iter_unpack("<H", b64decode(column.data)))
    return [None if step == 0 else (step - 1) * column.unit for step in steps]


def point(number: int, value: float | None = 1.0, seconds: float = 1.0, vram: float | None = None) -> Point:
    return Point(number, "r", value, seconds, vram)


@given(st.lists(st.integers(1, 10**9 - 1), unique=True).map(sorted))
def test_numbers_come_back(numbers: list[int]) -> None:
    assert numbers_of(packed_of([point(number) for number in numbers])) == numbers


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=30))
def test_values_come_back_with_six_digits(values: list[float | None]) -> None:
    back = values_of(packed_of([point(n + 1, value) for n, value in enumerate(values)]))
    for value, read in zip(values, back, strict=True):
        assert math.isnan(read) if value is None else math.isclose(read, value, rel_tol=1e-6)


@given(st.lists(st.none() | st.floats(0, 1e12), max_size=30))
def test_measurements_come_back_in_steps_of_the_largest(values: list[float | None]) -> None:
    packed = packed_of([point(n + 1, vram=value) for n, value in enumerate(values)])
    unit = max((value for value in values if value is not None), default=0) / STEPS
    for value, read in zip(values, measured(packed.vram_mb), strict=True):
        assert (read is None) == (value is None)
        assert value is None or read is None or abs(read - value) <= max(unit * 0.51, LEAST)


@pytest.mark.parametrize("value", [1e300, 1e-300])
def test_a_value_beyond_32_bits_makes_them_wide(value: float) -> None:
    packed = packed_of([point(1, 0.5), point(2, value)])
    assert packed.wide
    assert values_of(packed) == [0.5, value]


def test_where_the_run_to_beat_changes_is_told_by_places() -> None:
    points = [Point(n, "r", 1.0, 1.0, None, against) for n, against in enumerate((0, 1, 1, 4, 4, 0), 1)]
    assert packed_of(points).against == (1, 1, 3, 4, 5, 0)


def test_where_it_changes_with_each_run_it_is_left_out() -> None:
    assert packed_of([Point(n, "a", 1.0, 1.0, None, n - 1) for n in range(1, 9_000)]).against == ()


def test_a_run_takes_few_bytes() -> None:
    kinds = [*KINDS.values(), MEASURE]
    many = [Point(n, kinds[n % 7], n / 7, n % 300, n % 80_000) for n in range(1, 10_001)]
    assert len(encoded(packed_of(many))) < BYTES_PER_RUN * len(many)
