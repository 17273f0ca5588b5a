"""Intervals of 90%: Student's t against its own density, and values that no float can add."""

import math

import pytest

from ardaemon.core.interval import Interval, around, mean_of, of_values, student_t
from tests.support.every import every

STEPS = 4_000  # of Simpson's rule


def held(t: float, df: int) -> float:
    """The probability between -t and t, from the density of Student's t (Abramowitz and Stegun, 26.7.1)."""
    whole = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    step = t / STEPS
    heights = [(1 + (place * step) ** 2 / df) ** (-(df + 1) / 2) for place in range(STEPS + 1)]
    inner = 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2])
    return float(2 * whole * step / 3 * (heights[0] + inner + heights[-1]))


@every("df", [*range(1, 34), 40, 100, 1000])
def test_the_interval_of_few_values_holds_nine_in_ten(df: int) -> None:
    assert held(student_t(df), df) == pytest.approx(0.9, abs=2e-4)


def test_the_interval_of_a_mean_is_as_wide_as_its_values_lie_apart() -> None:
    low, high = of_values([1.0, 2.0, 3.0]) or (0.0, 0.0)
    error = 1 / math.sqrt(3)  # the standard deviation is 1
    assert (low, high) == pytest.approx((2 - 2.920 * error, 2 + 2.920 * error))
    assert of_values([1.5, 1.5]) == Interval(1.5, 1.5)
    assert around(2.0, 1.0) == Interval(2 - 1.645, 2 + 1.645)


def test_one_value_and_values_at_the_ends_of_a_float_have_no_interval() -> None:
    assert of_values([1.0]) is None
    assert of_values([1.7e308, -1.7e308]) is None
    assert mean_of([1.7e308, 1.7e308]) == 1.7e308
