"""What is believed of a candidate: its effect, and the belief about it should it be kept. In sigmas.

The belief is shrunk towards what edits here usually bring, so the value by which a version was chosen does
not flatter it: the winner's curse is corrected.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ardaemon.judging.noise.belief import Belief, Matrix, Unseen, Vector
from ardaemon.judging.noise.edits import MEANS, SHARES, VARIANCES, log_likelihoods, relative
from ardaemon.judging.noise.fit import Fit, fits
from ardaemon.judging.noise.types import Values

NEGLIGIBLE = 1e-12  # of the whole: components below it are left out
FARTHEST_TAIL = 38.0  # standard deviations, where the density of a normal distribution is 0 in float64


class Effect(NamedTuple):
    """What is known of an edit's effect d; negative is better."""

    p_better: float  # P(d < -min_delta)
    gain_if_real: float  # E[max(-d - min_delta, 0)]: what is won if it is kept only where it is better
    mean: float
    variance: float


# One normal distribution of the mixture that d has: its weight, mean and variance. A plain tuple, for a
# verdict makes ten thousand of them.
Component = tuple[float, float, float]


class Posterior(NamedTuple):
    """A candidate after its values were seen."""

    mixtures: list[list[Component]]  # the effect d, for each share of luck that this edit may have kept
    shares: Vector  # probabilities of these


def posterior(found: Sequence[Fit], effects: Vector, shares: Vector) -> Posterior:
    """Return what is believed of a candidate with these fits, one for each share of luck kept."""
    mixtures = [
        _mixture(one, row) for one, row in zip(found, _probabilities(found, effects, shares), strict=True)
    ]
    return Posterior(mixtures, [sum(weight for weight, _, _ in mixture) for mixture in mixtures])


def to_report(
    parent: Belief, values: Values, others: Sequence[int], effects: Vector, shares: Vector
) -> Unseen:
    """Return what is reported of a version's unseen `others`; `parent`: the belief that is reported of it.

    A verdict is cautious: it takes the luck of a version that was seen once for larger than it usually is.
    The effect is estimated so here too, but what is not the effect is luck of the usual size: else more and
    more luck that never was there would be taken off, with every advance on one value.
    """
    after = posterior(fits(parent, SHARES, values), effects, shares)
    return believed(parent, values, others, after, cautious=False)


def effect_of(after: Posterior, min_delta: float) -> Effect:
    """Return what is known of the effect; `min_delta` in sigmas."""
    everything = [component for mixture in after.mixtures for component in mixture]
    better, gain = zip(*(_beyond(component, min_delta) for component in everything), strict=True)
    return Effect(min(1.0, sum(better)), sum(gain), *_moments(everything))


def _probabilities(found: Sequence[Fit], effects: Vector, shares: Vector) -> list[Vector]:
    """Return the probability of every share kept (rows) and component of the effect (columns)."""
    by_effect, by_share = _logs(effects), _logs(shares)
    logs = [
        [log + of_effect + of_share for log, of_effect in zip(row, by_effect, strict=True)]
        for row, of_share in zip(log_likelihoods(found), by_share, strict=True)
    ]
    raw = relative(logs)
    total = sum(map(sum, raw))
    return [[one / total if one > NEGLIGIBLE * total else 0.0 for one in row] for row in raw]


def _logs(weights: Vector) -> Vector:
    return [math.log(weight) if weight > 0 else -math.inf for weight in weights]


def _mixture(one: Fit, weights: Vector) -> list[Component]:
    """Return the effect, if the edit keeps one share of the luck, as its components."""
    return [
        (
            weight,
            centre + width / (total := width + one.variance) * (one.effect - centre),
            width * one.variance / total,
        )
        for weight, centre, width in zip(weights, MEANS, VARIANCES, strict=True)
        if weight
    ]


def _beyond(component: Component, min_delta: float) -> tuple[float, float]:
    """Return a component's share of P(d < -min_delta) and of E[max(-d - min_delta, 0)]."""
    weight, mean, variance = component
    sd, short = math.sqrt(variance), -min_delta - mean
    z = short / sd
    better = 0.5 * math.erfc(-z / math.sqrt(2))
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) if abs(z) < FARTHEST_TAIL else 0.0
    return weight * better, weight * (short * better + sd * density)


def _moments(mixture: Sequence[Component]) -> tuple[float, float]:
    """Return mean and variance of a mixture; its weights need not sum up to 1."""
    total = sum(weight for weight, _, _ in mixture)
    mean = sum(weight * centre for weight, centre, _ in mixture) / total
    squares = sum(weight * ((centre - mean) ** 2 + variance) for weight, centre, variance in mixture)
    return mean, squares / total


def believed(
    parent: Belief, values: Values, others: Sequence[int], after: Posterior, cautious: bool = True
) -> Unseen:
    """Return the normal belief about a candidate's unseen `others`; `cautious`: as `fits` has it.

    Its mean and its covariance are those of the mixture over the shares kept.
    """
    likely = [i for i, weight in enumerate(after.shares) if weight > 0]
    found = fits(parent, [SHARES[i] for i in likely], values, others, cautious)
    live = [
        (after.shares[i], one, *_moments(after.mixtures[i])) for i, one in zip(likely, found, strict=True)
    ]
    means = [
        (weight, [a + b * effect for a, b in zip(one.start, one.slope, strict=True)])
        for weight, one, effect, _ in live
    ]
    size = len(found[0].start)
    mean = [sum(weight * one[i] for weight, one in means) for i in range(size)]
    cov = [[0.0] * (i + 1) for i in range(size)]
    for (weight, one, _, variance), (_, own) in zip(live, means, strict=True):
        apart = [a - b for a, b in zip(own, mean, strict=True)]
        cov = _added(cov, weight, one.cov, [(variance, one.slope), (1.0, apart)])
    return Unseen(mean, cov, sum(weight * one.fresh for weight, one, _, _ in live))


def _added(cov: Matrix, weight: float, own: Matrix, squares: Sequence[tuple[float, Vector]]) -> Matrix:
    """Return cov + weight × (own + the sum of factor × vector × vectorᵀ), all lower triangles."""
    (one, first), (two, second) = squares
    return [
        [a + weight * (b + p * x + q * y) for a, b, x, y in zip(row, own_row, first, second, strict=False)]
        for row, own_row, p, q in zip(
            cov, own, [one * v for v in first], [two * v for v in second], strict=True
        )
    ]
