"""Series: which value counts, and the history that is kept of any number of values."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.core.model import Count, Primary
from ardaemon.metrics.base import Metric, Point, Query
from ardaemon.metrics.curve import POINTS_MAX, Curve
from ardaemon.metrics.formats.scan import Scan
from ardaemon.metrics.series import Series
from tests.support import pace

NAN = float("nan")


def series(*values: tuple[float, int | None], count: Count = "last", direction: str = "min") -> Series:
    made = Series(Query(Primary("loss", direction), count=count))  # type: ignore[arg-type]
    for value, step in values:
        made.add("loss", value, step)
    return made


@pytest.mark.parametrize(
    ("count", "direction", "value", "counted"),
    [
        ("last", "min", 2.0, "last@30"),
        ("best", "min", 1.0, "best@20"),
        ("best", "max", 3.0, "best@10"),
        (20, "min", 1.0, "at 20@20"),
        (29, "min", 1.0, "at 29@20"),
        (10, "min", 3.0, "at 10@10"),
        (1000, "min", 2.0, "at 1000@30"),
    ],
)
def test_the_value_that_counts_is_named_with_its_step(
    count: Count, direction: str, value: float, counted: str
) -> None:
    readings = series((3.0, 10), (1.0, 20), (2.0, 30), count=count, direction=direction).readings("x")
    assert (readings.value, readings.counted, readings.problem) == (value, counted, None)
    assert readings.metrics["loss"] == Metric(2.0, 3.0 if direction == "max" else 1.0, 30)


def test_without_steps_there_is_a_last_and_a_best_and_no_value_at_a_step() -> None:
    values = [(3.0, None), (1.0, None), (2.0, None)]
    assert series(*values).readings("x").counted == "last"
    assert series(*values, count="best").readings("x").value == 1.0
    readings = series(*values, count=20).readings("x")
    assert (readings.value, readings.settled) == (None, False)
    assert readings.problem == "loss has no value at a step up to 20"


def test_of_a_step_that_is_written_twice_the_later_value_counts() -> None:
    """As a script that goes on from a checkpoint writes it."""
    assert series((1.0, 10), (2.0, 20), (5.0, 10), count=10).readings("x").value == 5.0
    assert series((1.0, 10), (2.0, 20), (5.0, 10), count=25).readings("x").value == 2.0


@pytest.mark.parametrize(
    ("count", "problem"),
    [
        ("last", "loss is nan at its last value"),
        (20, "loss is nan at step 20, the last one up to 20"),
    ],
)
def test_no_earlier_value_stands_in_for_one_that_is_not_finite(count: Count, problem: str) -> None:
    readings = series((1.0, 10), (NAN, 20), count=count).readings("x")
    assert (readings.value, readings.problem) == (None, problem)


def test_the_best_is_the_best_of_the_finite_ones() -> None:
    made = series((NAN, 1), (1.0, 2), (-math.inf, 3), count="best")
    assert (made.readings("x").value, made.not_finite.in_a_row) == (1.0, 1)
    assert series((NAN, 1), count="best").readings("x").problem == "loss was never finite"


def test_what_is_wrong_with_the_source_is_told_with_a_value_too() -> None:
    assert series((1.0, 1)).readings("x", "file is torn", "file").problem == "file is torn"
    readings = series().readings("x", "file is torn", absent="loss is not there")
    assert readings.problem == "loss is not there; file is torn"


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=400), st.integers(2, 20))
def test_a_thinned_curve_keeps_its_ends_and_extremes(values: list[float], most: int) -> None:
    curve = Curve(most)
    for at, value in enumerate(values):
        curve.add(value, at, None)
    points = curve.points()
    assert len(points) <= most + 3
    assert points[0] == Point(0, values[0])
    assert points[-1] == Point(len(values) - 1, values[-1])
    kept = [point.value for point in points]
    assert (min(kept), max(kept)) == (min(values), max(values))
    steps = [point.step for point in points]
    assert steps == sorted(steps, key=lambda step: step or 0)
    assert all(values[point.step or 0] == point.value for point in points)


def test_a_long_history_is_bounded_and_even() -> None:
    made = series(*((1.0 + step % 7, step) for step in range(20 * POINTS_MAX)))
    steps = [point.step or 0 for point in made.readings("x").curve]
    assert POINTS_MAX / 2 <= len(steps) <= POINTS_MAX + 3
    assert max(b - a for a, b in pairwise(steps)) <= 40


def test_a_step_beyond_all_counting_is_none() -> None:
    readings = series((1.0, 10**300), (2.0, -(10**300))).readings("jsonl")
    assert (readings.value, readings.counted) == (2.0, "last")
    assert [point.step for point in readings.curve] == [None, None]


def test_a_line_with_thousands_of_steps_and_values_is_read_at_once() -> None:
    """Each value once looked at all steps of its line: 8 s for a log of 2 MiB."""
    lines = ["step 1 loss=1 " * 4600 + f"#{number}" for number in range(8)]
    made = Series(Query(Primary("loss"), count=1))
    scan = Scan("loss")

    def read() -> None:
        for line in lines:
            for report in scan.line(line):
                assert report.value is not None
                made.add(report.name, report.value, report.place)

    assert pace.spent(read) / pace.slower() < 2  # 0.6 s
    assert made.readings("log").counted == "at 1@1"
