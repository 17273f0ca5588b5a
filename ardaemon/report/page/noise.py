"""The histogram of the noise: how far the values of equal snapshots lie from the mean of their snapshot."""

import math
from collections.abc import Sequence

from msgspec import Struct

BINS = 21  # odd: one stands on the mean


class Histogram(Struct, frozen=True):
    """How many values lie in each bin; the first bin begins at `low`."""

    low: float
    width: float
    counts: tuple[int, ...]


def histogram(equal: Sequence[Sequence[float]]) -> Histogram | None:
    """Return how far values of equal code lie from their mean, counted; None if there is none."""
    distances = [distance for values in equal for distance in _distances(values)]
    if not distances:
        return None
    half = max(map(abs, distances)) or _least(equal)
    width = 2 * half / BINS
    if not 0 < width < math.inf:  # values at the ends of what a float holds
        return None
    counts = [0] * BINS
    for distance in distances:
        counts[min(BINS - 1, int((distance + half) / width))] += 1
    return Histogram(-half, width, tuple(counts))


def _distances(values: Sequence[float]) -> list[float]:
    mean = sum(value / len(values) for value in values)
    return [value - mean for value in values]


def _least(equal: Sequence[Sequence[float]]) -> float:
    """Return half the width of a picture in which all values are the same: a millionth of the largest."""
    return max((abs(max(values)) for values in equal), default=0.0) * 1e-6 or math.ulp(1.0)
