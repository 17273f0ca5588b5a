"""What the edits so far teach about the next one: how large effects are here, and how much luck edits keep.

Hypotheses say what weights the components of an edit's effect may have (scales.py); each edit that was tried
weighs them anew. So it is with the share of a seed's luck that an edit keeps.
"""

import math
from collections.abc import Sequence
from operator import add, mul

from ardaemon.judging.noise.belief import Vector
from ardaemon.judging.noise.fit import Fit
from ardaemon.judging.noise.scales import LEVELS, NONE_AT, likelihoods

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
FAINT = math.exp(-60)  # an edit that only a share of luck without weight explains teaches nothing on effects

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
        by_effect = _by_effect(self.shares, by_both)
        kept, shares = self._kept, self.shares
        if several:
            weights = self.effects()
            by_share = [sum(map(mul, weights, row)) for row in by_both]
            kept = _taught(kept, _explained_by_shares(by_share), max(by_share))
            shares = _shares(kept)
        return Edits(_taught(self._effects, _explained(by_effect), max(by_effect)), kept, shares)


def _by_effect(shares: Vector, by_both: Sequence[Vector]) -> Vector:
    """Return the likelihood of each component, averaged over the shares kept."""
    rows = [[share * one for one in row] for share, row in zip(shares, by_both, strict=True) if share]
    return [*map(sum, zip(*rows, strict=True))]


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


def _explained_by_shares(by_share: Vector) -> Vector:
    """Return how well each of KEPT explains an edit with these likelihoods of SHARES."""
    drawn = sum(map(mul, REDRAWN, by_share))
    return [*(redraw * drawn + (1 - redraw) * one for redraw in REDRAWS for one in by_share[1:]), drawn]


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
    if largest <= FAINT:
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
