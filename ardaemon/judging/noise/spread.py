"""The noise: how far launches of one version lie apart over seeds, pooled over all versions.

Values are canonical here: lower is better, None where an attempt gave no value.
"""

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from operator import mul
from typing import NamedTuple

from ardaemon.judging.noise.types import NoiseConfig, Values

LARGEST = 1e100  # a value beyond it counts as this much: its square would overflow
FARTHEST = 1e12  # sigmas from the baseline: beyond it float64 has no room for one sigma
RELATIVE_FLOOR = 1e-9  # of the values' size: below it lies the rounding of float64
SMALLEST = 1e-300  # where even the resolution is no number
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


def canonical(values: Values, config: NoiseConfig) -> list[float | None]:
    """Return values whose lower is better, None where there is no finite number."""
    sign = 1.0 if config.direction == "min" else -1.0
    return [
        sign * value if value is not None and -LARGEST <= value <= LARGEST else _bounded(value, sign)
        for value in values
    ]


def _bounded(value: float | None, sign: float) -> float | None:
    """Return a number that is too large as LARGEST; None if there is no finite one."""
    return None if value is None or not math.isfinite(value) else math.copysign(LARGEST, sign * value)


def in_metric(value: float, config: NoiseConfig) -> float:
    """Return a canonical value in the metric's own sign."""
    return value if config.direction == "min" else 0.0 - value  # and not -0.0


def known(values: Values) -> list[float]:
    """Return the values without the gaps."""
    return [value for value in values if value is not None]


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one value."""
    return sum(values) / len(values)


def pooled(
    versions: Iterable[Values], baseline: Sequence[float], candidate: Sequence[float]
) -> Spread | None:
    """Return the noise from every version that has two values or more; None if there is none.

    The noise is not less than what the values' last digit hides: a rounding error is spread evenly over one
    step of it, and has a standard deviation of a step/√12.
    """
    squares, df = 0.0, 0
    for values in versions:
        if len(values) > 1 and len(numbers := known(values)) > 1:
            centre = mean(numbers)
            rests = [value - centre for value in numbers]
            squares += sum(map(mul, rests, rests))
            df += len(numbers) - 1
    if not df:
        return None
    rounding = max(RELATIVE_FLOOR * max(map(abs, baseline)), SMALLEST)
    floor = max(resolution([*baseline, *candidate]) / math.sqrt(12), rounding)
    sd = math.sqrt(squares / df)
    return Spread(max(sd, floor), df, exact=sd <= rounding)


def resolution(values: Iterable[float]) -> float:
    """Return the step of the last digit that any of the values shows: 0.0001 of 0.85 and 0.8512."""
    exponents = (Decimal(repr(value)).normalize().as_tuple().exponent for value in values)
    last = min((exponent for exponent in exponents if isinstance(exponent, int)), default=0)
    return float(10.0 ** min(last, 0))  # the zeros of 1200 may be digits
