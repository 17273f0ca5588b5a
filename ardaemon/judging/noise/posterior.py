"""What is believed of a candidate: its effect, and the belief about it should it be kept. In sigmas.

The belief is shrunk towards what edits here usually bring, so the value by which a version was chosen does
not flatter it: the winner's curse is corrected.
"""

import math
from collections.abc import Sequence
from operator import add, mul
from typing import NamedTuple

from ardaemon.judging.noise.belief import Belief, Matrix, Unseen, Vector
from ardaemon.judging.noise.edits import SHARES
from ardaemon.judging.noise.fit import Fit, fits
from ardaemon.judging.noise.scales import MEANS, WIDTHS, likelihoods, mirrored
from ardaemon.judging.noise.types import Values

NEGLIGIBLE = 1e-12  # of the whole: components below it count as 0
FARTHEST_TAIL = 38.0  # standard deviations, where the density of a normal distribution is 0 in float64


class Effect(NamedTuple):
    """What is known of an edit's effect d; negative is better."""

    p_better: float  # P(d < -min_delta)
    gain_if_real: float  # E[max(-d - min_delta, 0)]: what is won if it is kept only where it is better
    mean: float
    variance: float


class Mixture(NamedTuple):
    """The effect d as a mixture of normal distributions; the weights need not sum up to 1."""

    weights: Vector
    means: Vector
    variances: Vector


class Posterior(NamedTuple):
    """A candidate after its values were seen."""

    mixtures: list[Mixture]  # the effect d, for each share of luck that this edit may have kept
    shares: Vector  # probabilities of these


NO_MIXTURE = Mixture([], [], [])  # of a share that weighs nothing


def posterior(found: Sequence[Fit], effects: Vector, shares: Vector) -> Posterior:
    """Return what is believed of a candidate with these fits, one for each share of luck kept."""
    live = [(one, share) for one, share in zip(found, shares, strict=True) if share]
    raw = [[*map(mul, effects, row)] for row in likelihoods([one for one, _ in live])]
    total = sum(share * sum(row) for row, (_, share) in zip(raw, live, strict=True))
    made = iter([_mixture(one, row, share / total) for row, (one, share) in zip(raw, live, strict=True)])
    mixtures = [next(made) if share else NO_MIXTURE for share in shares]
    return Posterior(mixtures, [sum(mixture.weights) for mixture in mixtures])


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
    everything = Mixture(
        *([one for column in columns for one in column] for columns in zip(*after.mixtures, strict=True))
    )
    better, gain = zip(*(_beyond(*one, min_delta) for one in zip(*everything, strict=True)), strict=True)
    return Effect(min(1.0, sum(better)), sum(gain), *_moments(everything))


def _mixture(one: Fit, weights: Vector, scale: float) -> Mixture:
    """Return the effect, if the edit keeps one share of the luck."""
    effect, variance = one.effect, one.variance
    parts = mirrored([width / (width + variance) for width in WIDTHS])
    return Mixture(
        [share if (share := weight * scale) > NEGLIGIBLE else 0.0 for weight in weights],
        [centre + part * (effect - centre) for centre, part in zip(MEANS, parts, strict=True)],
        [part * variance for part in parts],
    )


def _beyond(weight: float, mean: float, variance: float, min_delta: float) -> tuple[float, float]:
    """Return a component's share of P(d < -min_delta) and of E[max(-d - min_delta, 0)]."""
    sd, short = math.sqrt(variance), -min_delta - mean
    z = short / sd
    better = 0.5 * math.erfc(-z / math.sqrt(2))
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) if abs(z) < FARTHEST_TAIL else 0.0
    return weight * better, weight * (short * better + sd * density)


def _moments(mixture: Mixture) -> tuple[float, float]:
    """Return mean and variance of a mixture."""
    weights, centres, variances = mixture
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
