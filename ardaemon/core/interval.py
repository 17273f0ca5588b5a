"""Between what two values a mean lies with a probability of 90%: one level everywhere. Pure."""

import math
from collections.abc import Sequence
from typing import NamedTuple

Z_90 = 1.645  # standard deviations to each side that hold 90% of a normal distribution
# The same of Student's t, by degrees of freedom from 1 on: few values tell little of their own spread
# (the 95% points of one side; NIST/SEMATECH e-Handbook, 1.3.6.7.2).
T_90 = (
    *(6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812),
    *(1.796, 1.782, 1.771, 1.761, 1.753, 1.746, 1.740, 1.734, 1.729, 1.725),
    *(1.721, 1.717, 1.714, 1.711, 1.708, 1.706, 1.703, 1.701, 1.699, 1.697),
)


class Interval(NamedTuple):
    """The two values."""

    low: float
    high: float


def student_t(df: int) -> float:
    """Return the standard errors to each side that hold 90% of Student's t with so many degrees of freedom.

    Beyond the table by the first terms of its series (Abramowitz and Stegun, 26.7.5).
    """
    if df <= len(T_90):
        return T_90[df - 1]
    z = Z_90
    return z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)


def around(mean: float, sd: float) -> Interval:
    """Return the interval of a mean that is normally distributed."""
    return Interval(mean - Z_90 * sd, mean + Z_90 * sd)


def mean_of(values: Sequence[float]) -> float:
    """Return the mean of at least one value, also where their sum would overflow."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)


def of_values(values: Sequence[float]) -> Interval | None:
    """Return the interval of the mean that values have been drawn around; None for one value.

    None also where they lie so far apart that no float holds the interval.
    """
    if len(values) < 2:
        return None
    mean, df = mean_of(values), len(values) - 1
    error = math.dist(values, [mean] * len(values)) / math.sqrt(df * len(values))
    low, high = mean - student_t(df) * error, mean + student_t(df) * error
    return Interval(low, high) if math.isfinite(low) and math.isfinite(high) else None
