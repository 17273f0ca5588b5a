"""The noise: how far launches of one version lie apart over seeds, pooled over all versions.

Values are canonical here: lower is better, None where an attempt gave no value. They are in a unit (of
NoiseConfig) in which their squares are numbers, whatever the metric's size.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from operator import mul
from typing import NamedTuple

from ardaemon.judging.noise.types import NoiseConfig, Values

LARGEST = 1e100  # a canonical value beyond it counts as this much: its square would overflow
LEAST = 1 / LARGEST  # values below it have squares that underflow
POWER_MOST = 1000  # of 2 in a unit: so far it is a number, and so is 1 / it
# In the metric's unit: a value beyond it counts as this much, so that sums and intervals hold it.
MOST = 1e306
TOLD_MOST = 1e307  # and no figure that is told is larger
FARTHEST = 1e12  # sigmas from the baseline: beyond it float64 has no room for one sigma
RELATIVE_FLOOR = 1e-9  # of the values' size: below it lies the rounding of float64
SMALLEST = 1e-300  # so of a baseline of 0
WIDENING = 1.0  # sigma² × (1 + this/df): few values tell little about sigma, as Student's t has it


class Spread(NamedTuple):
    """The noise of one launch."""

    sd: float  # in the metric's unit
    df: int
    exact: bool = False  # reruns gave equal values, but for rounding

    @property
    def sigma(self) -> float:
        """Return the standard deviation to calculate with: wider while there are few values."""
        return self.sd * math.sqrt(1 + WIDENING / self.df)


class Scale(NamedTuple):
    """The unit that everything is calculated in: sigmas from the baseline's mean."""

    centre: float
    sigma: float

    def units(self, values: Values) -> list[float | None]:
        """Return canonical values in sigmas from the centre."""
        return [None if value is None else self.unit(value) for value in values]

    def unit(self, value: float) -> float:
        """Return a canonical value in sigmas from the centre."""
        return max(-FARTHEST, min(FARTHEST, (value - self.centre) / self.sigma))

    def value(self, units: float) -> float:
        """Return a canonical value from its sigmas."""
        return self.centre + units * self.sigma


def in_reach(baseline: Values, best: Values, config: NoiseConfig) -> NoiseConfig:
    """Return the settings with a unit in which these values can be squared.

    The unit is a power of two. A division by one rounds nothing, so verdicts are the same in any unit.
    """
    sizes = (abs(value) for value in (*baseline, *best) if value is not None and math.isfinite(value))
    largest = max(sizes, default=0.0)
    if largest == 0 or LEAST <= largest <= LARGEST:
        return config
    _, power = math.frexp(largest)
    return replace(config, unit=2.0 ** max(-POWER_MOST, min(POWER_MOST, power)))


def canonical(values: Values, config: NoiseConfig) -> list[float | None]:
    """Return values whose lower is better, in the unit of `config`; None where there is no finite number."""
    factor = (1.0 if config.direction == "min" else -1.0) / config.unit
    most = min(LARGEST * config.unit, MOST)
    return [
        factor * value if value is not None and -most <= value <= most else _bounded(value, factor, most)
        for value in values
    ]


def _bounded(value: float | None, factor: float, most: float) -> float | None:
    """Return a number that is too large as the largest that counts; None if there is no finite one."""
    return None if value is None or not math.isfinite(value) else factor * math.copysign(most, value)


def in_metric(value: float, config: NoiseConfig) -> float:
    """Return a canonical value in the metric's own unit and sign."""
    return size_in_metric(value if config.direction == "min" else 0.0 - value, config)  # and not -0.0


def size_in_metric(size: float, config: NoiseConfig) -> float:
    """Return a difference, or a standard deviation, in the metric's own unit."""
    return max(-TOLD_MOST, min(TOLD_MOST, size * config.unit))


def beyond(value: float, level: float, config: NoiseConfig) -> float:
    """Return by how far a value is better than a level, in the metric's unit; negative: it is worse."""
    return level - value if config.direction == "min" else value - level


def known(values: Iterable[float | None]) -> list[float]:
    """Return the values without the gaps."""
    return [value for value in values if value is not None]


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one value."""
    return sum(values) / len(values)


def pooled(versions: Iterable[Values], baseline: Sequence[float]) -> Spread | None:
    """Return the noise from every version that has two values or more; None if there is none."""
    squares, df = 0.0, 0
    for values in versions:
        if len(values) > 1 and len(numbers := known(values)) > 1:
            centre = mean(numbers)
            rests = [value - centre for value in numbers]
            squares += sum(map(mul, rests, rests))
            df += len(numbers) - 1
    if not df:
        return None
    sd = math.sqrt(squares / df)
    return Spread(sd, df, exact=sd <= max(RELATIVE_FLOOR * max(map(abs, baseline)), SMALLEST))


def hidden_by(values: Iterable[float | None]) -> float:
    """Return the standard deviation that the values' last digit hides; in their unit.

    A rounding error is spread evenly over one step of that digit: this gives a step/√12.
    """
    return resolution(known(values)) / math.sqrt(12)


def resolution(values: Iterable[float]) -> float:
    """Return the step of the last digit that any of the values shows: 0.0001 of 0.85 and 0.8512."""
    different = set(values)  # where the step is coarse, many are equal
    exponents = (Decimal(repr(value)).normalize().as_tuple().exponent for value in different)
    last = min((exponent for exponent in exponents if isinstance(exponent, int)), default=0)
    return float(10.0 ** min(last, 0))  # the zeros of 1200 may be digits
