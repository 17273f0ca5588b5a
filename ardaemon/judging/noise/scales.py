"""The components of an edit's effect, and how likely each is by what a version's values say.

An edit's effect d, in sigmas, is a mixture of normal distributions at 0 and ±2^-4 … ±2^8: no scale is set by
hand.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

from ardaemon.judging.noise.belief import Vector
from ardaemon.judging.noise.fit import Fit

LEVELS = range(-4, 9)  # an effect of 2^-4 sigma is too small to be found, one of 2^8 needs no statistics
SCALES = [2.0**level for level in LEVELS]
# The components' means, from the edits that help most to those that hurt most.
MEANS = [*(-scale for scale in reversed(SCALES)), 0.0, *SCALES]
WIDTH = 0.35  # sd of a component, × its scale: neighbours overlap, so that no effect lies in a gap
NONE_AT = len(SCALES)  # the component of edits that do nothing
WIDTHS = [(WIDTH * scale) ** 2 for scale in SCALES]  # variances of the components +s; `mirrored`: of all


def likelihoods(fits: Sequence[Fit]) -> list[Vector]:
    """Return the likelihood of every share kept (rows) and component (columns), beside the likeliest."""
    logs = [_log_row(one.effect, one.evidence, _components(one.variance)) for one in fits]
    top = max(map(max, logs))
    return [[*map(math.exp, [log - top for log in row])] for row in logs]


def _log_row(effect: float, evidence: float, components: list[tuple[float, float, float]]) -> Vector:
    return [evidence - log - (apart := effect - centre) * apart * half for centre, log, half in components]


# Runs with one value have the same six variances until the next advance; the next call has all of them again.
@lru_cache(maxsize=512)
def _components(variance: float) -> list[tuple[float, float, float]]:
    """Return of each component its mean, and of the variance v of an estimate of d: log(v)/2 and 1/(2 v)."""
    totals = [width + variance for width in WIDTHS]
    logs, halves = [0.5 * math.log(total) for total in totals], [0.5 / total for total in totals]
    return list(zip(MEANS, mirrored(logs), mirrored(halves), strict=True))


def mirrored(scales: Vector) -> Vector:
    """Return for all components what is the same for ±s, and for no effect as for the smallest."""
    return [*reversed(scales), scales[0], *scales]
