"""What is believed of a candidate: its effect, and the belief about it should it be kept. In sigmas.

The belief is shrunk towards what edits here usually bring, so the value by which a version was chosen does
not flatter it: the winner's curse is corrected.
"""

import math
from collections.abc import Sequence
from operator import add, mul
from typing import NamedTuple

from ardaemon.judging.noise.belief import Belief, Matrix, Unseen, Vector
from ardaemon.judging.noise.edits import MEANS, SHARES, VARIANCES, log_likelihoods
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
    logs = log_likelihoods(found)
    top = max(max(row) for row, share in zip(logs, shares, strict=True) if share)
    raw = [
        [*map(mul, effects, map(math.exp, [log - top for log in row]))] if share else []
        for row, share in zip(logs, shares, strict=True)
    ]
    total = sum(share * sum(row) for row, share in zip(raw, shares, strict=True))
    mixtures = [_mixture(one, row, share / total) for one, row, share in zip(found, raw, shares, strict=True)]
    return Posterior(mixtures, [sum(weight for weight, _, _ in mixture) for mixture in mixtures])


def to_report(
    parent: Belief, values: Values, others: Sequence[int], effects: Vector, shares: Vector
) -> Unseen:
    """Return what is reported of a version's unseen `others`; `parent`: the belief that is reported of it.

    A verdict is cautious: it takes the luck of a version that was seen once for larger than it usually is.
    The effect is estimated so here too, but what is not the effect is luck of the usual size: else more and
    more luck that never was there would be taken off, with every advance on one value.
    """
    live = [(share, weight) for share, weight in zip(SHARES, shares, strict=True) if weight]
    kept, weights = [share for share, _ in live], [weight for _, weight in live]
    after = posterior(fits(parent, kept, values), effects, weights)
    return believed(fits(parent, kept, values, others, cautious=False), after)


def effect_of(after: Posterior, min_delta: float) -> Effect:
    """Return what is known of the effect; `min_delta` in sigmas."""
    everything = [component for mixture in after.mixtures for component in mixture]
    better, gain = zip(*(_beyond(component, min_delta) for component in everything), strict=True)
    return Effect(min(1.0, sum(better)), sum(gain), *_moments(everything))


def _mixture(one: Fit, weights: Vector, scale: float) -> list[Component]:
    """Return the effect, if the edit keeps one share of the luck, as its components."""
    effect, variance = one.effect, one.variance
    return [
        (share, centre + (part := width / (width + variance)) * (effect - centre), part * variance)
        for weight, centre, width in zip(weights, MEANS, VARIANCES, strict=False)
        if (share := weight * scale) > NEGLIGIBLE
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
    weights, centres, variances = zip(*mixture, strict=True)
    total = sum(weights)
    mean = sum(map(mul, weights, centres)) / total
    squares = [(centre - mean) ** 2 for centre in centres]
    return mean, sum(map(mul, weights, map(add, squares, variances))) / total


def believed(found: Sequence[Fit], after: Posterior) -> Unseen:
    """Return the normal belief about a candidate's unseen entries, for which these fits were asked.

    Its mean and its covariance are those of the mixture over the shares kept.
    """
    live = [
        (weight, one, *_moments(mixture))
        for weight, one, mixture in zip(after.shares, found, after.mixtures, strict=True)
        if weight
    ]
    means = [
        [a + b * effect for a, b in zip(one.start, one.plan.slope, strict=True)] for _, one, effect, _ in live
    ]
    weights = [weight for weight, *_ in live]
    mean = [sum(map(mul, weights, column)) for column in zip(*means, strict=True)]
    cov = [[0.0] * (i + 1) for i in range(len(mean))]
    for (weight, one, _, variance), own in zip(live, means, strict=True):
        apart = [a - b for a, b in zip(own, mean, strict=True)]
        cov = _added(cov, weight, one.plan.cov, [(variance, one.plan.slope), (1.0, apart)])
    return Unseen(mean, cov, sum(weight * one.plan.fresh for weight, one, _, _ in live))


def _added(cov: Matrix, weight: float, own: Matrix, squares: Sequence[tuple[float, Vector]]) -> Matrix:
    """Return cov + weight × (own + the sum of factor × vector × vectorᵀ), all lower triangles."""
    (one, first), (two, second) = squares
    return [
        [a + weight * (b + p * x + q * y) for a, b, x, y in zip(row, own_row, first, second, strict=False)]
        for row, own_row, p, q in zip(
            cov, own, [one * v for v in first], [two * v for v in second], strict=True
        )
    ]
