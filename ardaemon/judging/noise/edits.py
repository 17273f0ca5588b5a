"""What the edits so far teach about the next one: how large effects are here, and how much luck edits keep.

An edit's effect d, in sigmas, is a mixture of normal distributions at 0 and ±2^-4 … ±2^8: no scale is set by
hand. Hypotheses say what weights the mixture may have; each edit that was tried weighs them anew. So it is
with the share of a seed's luck that an edit keeps.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from operator import add, mul

from ardaemon.judging.noise.belief import Vector
from ardaemon.judging.noise.fit import Fit

LEVELS = range(-4, 9)  # an effect of 2^-4 sigma is too small to be found, one of 2^8 needs no statistics
SCALES = [2.0**level for level in LEVELS]
# The components' means, from the edits that help most to those that hurt most.
MEANS = [*(-scale for scale in reversed(SCALES)), 0.0, *SCALES]
WIDTH = 0.35  # sd of a component, × its scale: neighbours overlap, so that no effect lies in a gap
VARIANCES = [(WIDTH * (abs(centre) or SCALES[0])) ** 2 for centre in MEANS]
NONE_AT = len(SCALES)  # the component of edits that do nothing
OCTAVES = 1.5  # how widely the scales of one hypothesis spread

NOTHING = 0.2  # share of edits that do nothing, in every hypothesis
HELPS = (0.1, 0.2, 0.3)  # shares that help
RATIOS = (-1, 0)  # helping edits have half the scale of hurting ones, or the same
HURTS = range(LEVELS[0] + 1, LEVELS[-1] - 1)  # the levels around which edits may hurt
CENTRES = range(HURTS[0] + min(RATIOS), HURTS[-1] + 1)  # and those around which they may hurt or help

SHARES = [0.0, 0.4, 0.6, 0.8, 0.9, 0.97]  # of a seed's luck that an edit may keep
REDRAWS = (0.1, 0.3, 0.6)  # share of the edits that redraw the luck; all others keep one share
REDRAWN = (0.7, 0.3)  # of those that redraw: keep nothing, keep 0.4 (both were measured)

LEAST_ODDS = 1e-6  # hypotheses less likely than this, beside the likeliest, are left out
DOUBT = 1e-12  # no single edit rules a hypothesis out

# Hypotheses on effects come in groups. All of a group have the same share that helps, the same share that
# hurts, and the same ratio; there is one for each of HURTS. The last number is where in CENTRES the first of
# them has its helping edits.
GROUPS = [(helps, 1 - NOTHING - helps, HURTS[0] + ratio - CENTRES[0]) for helps in HELPS for ratio in RATIOS]


def _bump(level: int) -> Vector:
    """Return the weights of the scales around a level."""
    weights = [math.exp(-0.5 * ((other - level) / OCTAVES) ** 2) for other in LEVELS]
    return [weight / sum(weights) for weight in weights]


BUMPS = [*map(_bump, CENTRES)]
HURT_AT = HURTS[0] - CENTRES[0]
COLUMNS = list(zip(*BUMPS, strict=True))  # of each scale its weight around each of CENTRES


def _kept(redraw: float, share: float) -> Vector:
    """Return the weights of SHARES if so many edits redraw the luck and all others keep this share of it."""
    drawn = dict(zip(SHARES, REDRAWN, strict=False))
    return [redraw * drawn.get(other, 0.0) + (1 - redraw) * (other == share) for other in SHARES]


KEPT = [*(_kept(redraw, share) for redraw in REDRAWS for share in SHARES[1:]), _kept(1.0, SHARES[0])]
KEPT_COLUMNS = list(zip(*KEPT, strict=True))


class Edits:
    """The hypotheses, and how well each explains the edits so far."""

    __slots__ = ("_effects", "_kept", "_weights", "shares")

    def __init__(self, effects: Vector, kept: Vector, shares: Vector) -> None:
        """Take the log likelihoods of the hypotheses of both kinds, and the weights of SHARES that follow."""
        self._effects, self._kept, self.shares = effects, kept, shares
        self._weights: Vector | None = None  # of the components: calculated when they are asked for

    @classmethod
    def none_tried(cls) -> "Edits":
        """Return the beginning: every hypothesis is equally likely."""
        kept = [0.0] * len(KEPT)
        return cls([0.0] * len(GROUPS) * len(HURTS), kept, _shares(kept))

    def effects(self) -> Vector:
        """Return the weights of the components of an edit's effect."""
        if self._weights is None:
            self._weights = _averaged(_odds(self._effects))
        return self._weights

    def taught(self, fits: Sequence[Fit], several: bool) -> "Edits":
        """Return the hypotheses weighed by one more edit; `several`: it has two values or more.

        One value cannot tell luck from effect: it says nothing about the share that is kept.
        """
        by_both = likelihoods(fits)
        by_effect = [sum(map(mul, self.shares, column)) for column in zip(*by_both, strict=True)]
        kept, shares = self._kept, self.shares
        if several:
            weights = self.effects()
            by_share = [sum(map(mul, weights, row)) for row in by_both]
            kept = _taught(kept, [sum(map(mul, one, by_share)) for one in KEPT], max(by_share))
            shares = _shares(kept)
        return Edits(_taught(self._effects, _explained(by_effect), max(by_effect)), kept, shares)


def log_likelihoods(fits: Sequence[Fit]) -> list[Vector]:
    """Return the log likelihood of every share kept (rows) and component (columns), but for a constant."""
    return [_log_row(one.effect, one.evidence, _components(one.variance)) for one in fits]


def _log_row(effect: float, evidence: float, components: list[tuple[float, float, float]]) -> Vector:
    return [evidence - log - (apart := effect - centre) * apart * half for centre, log, half in components]


# Runs with one value have the same six variances until the next advance; the next call has all of them again.
@lru_cache(maxsize=512)
def _components(variance: float) -> list[tuple[float, float, float]]:
    """Return of each component its mean, and of the variance v of an estimate of d: log(v)/2 and 1/(2 v)."""
    totals = [(centre, width + variance) for centre, width in zip(MEANS, VARIANCES, strict=True)]
    return [(centre, 0.5 * math.log(total), 0.5 / total) for centre, total in totals]


def likelihoods(fits: Sequence[Fit]) -> list[Vector]:
    """Return the likelihoods beside that of the likeliest."""
    logs = log_likelihoods(fits)
    top = max(map(max, logs))
    return [[*map(math.exp, [log - top for log in row])] for row in logs]


def _explained(by_effect: Vector) -> Vector:
    """Return how well each hypothesis on effects explains an edit with these likelihoods."""
    better, worse = by_effect[NONE_AT - 1 :: -1], by_effect[NONE_AT + 1 :]
    nothing = NOTHING * by_effect[NONE_AT]
    helped = [sum(map(mul, bump, better)) for bump in BUMPS]
    hurt = [sum(map(mul, bump, worse)) for bump in BUMPS[HURT_AT:]]
    return [
        helps * one + nothing + hurts * other
        for helps, hurts, first in GROUPS
        for one, other in zip(helped[first:], hurt, strict=False)
    ]


def _averaged(odds: Vector) -> Vector:
    """Return the weights of the components, averaged over the hypotheses on effects."""
    helping, hurting, size = [0.0] * len(CENTRES), [0.0] * len(CENTRES), len(HURTS)
    for i, (helps, hurts, first) in enumerate(GROUPS):
        for at, likely in enumerate(odds[i * size : (i + 1) * size]):
            if likely:
                helping[first + at] += helps * likely
                hurting[HURT_AT + at] += hurts * likely
    better, worse = ([sum(map(mul, weights, column)) for column in COLUMNS] for weights in (helping, hurting))
    return [*reversed(better), NOTHING, *worse]


def _taught(logs: Vector, explained: Vector, largest: float) -> Vector:
    """Return the log likelihoods of the hypotheses after one more edit."""
    if largest <= 0:
        return logs
    return [*map(add, logs, map(math.log, [one / largest + DOUBT for one in explained]))]


def _odds(logs: Vector) -> Vector:
    """Return the probabilities of hypotheses with these log likelihoods."""
    top = max(logs)
    odds = [*map(math.exp, [log - top for log in logs])]
    total = sum(odds)
    least = LEAST_ODDS * total
    return [one / total if one > least else 0.0 for one in odds]


def _shares(kept: Vector) -> Vector:
    """Return the weights of SHARES, averaged over the hypotheses on what is kept."""
    odds = _odds(kept)
    return [sum(map(mul, odds, column)) for column in KEPT_COLUMNS]
