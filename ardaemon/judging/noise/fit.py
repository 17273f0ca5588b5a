"""What a candidate's values say of the edit, and of the version that it makes. In sigmas.

An edit moves the mean by d, and keeps the share r of a seed's luck: T' = T + d, x'_j = T' + r (x_j - T) +
luck of its own.
"""

from collections.abc import Sequence
from operator import mul, sub
from typing import NamedTuple

from ardaemon.judging.noise.belief import Belief, Vector, common_first, numbers_of, seen_entries
from ardaemon.judging.noise.plan import Common, Plan, plans
from ardaemon.judging.noise.types import Values

OWN_DF = 4.0  # values by which a version's own spread counts less than that of all others


class Fit(NamedTuple):
    """What a candidate's values say, if the edit keeps a certain share of the luck.

    All is linear in the effect d. Given d, the unseen entries that were asked for have the mean
    `start + plan.slope * d` and the covariance `plan.cov`.
    """

    effect: float  # estimate of d from these values alone
    variance: float  # of that estimate
    evidence: float  # log of how well the values agree with each other
    start: Vector
    plan: Plan


def fits(
    parent: Belief,
    shares: Sequence[float],
    values: Values,
    others: Sequence[int] = (),
    cautious: bool = True,
) -> list[Fit]:
    """Return what the values say of an edit, and of unseen `others`, for each share of luck it may keep.

    `cautious`: as a verdict has it, which takes a version's own luck for larger than it usually is.
    """
    seen = common_first(parent, seen_entries(values))
    numbers = numbers_of(values, seen)
    return [fitted(plan, numbers) for plan in plans(parent, shares, seen, others, cautious)]


def fitted(plan: Plan, numbers: Sequence[float]) -> Fit:
    """Return the fit to the values of the entries that are seen, the common first."""
    values, spread = _merged(plan.common, numbers) if plan.common else (numbers, 0.0)
    apart, start = [*map(sub, values, plan.start)], plan.start[len(values) :]
    dot = squares = 0.0
    for variance, part, gains in plan.steps:
        rest, *apart = apart
        if apart:
            apart = [one - gain * rest for one, gain in zip(apart, gains, strict=False)]
        if start:
            start = [one + gain * rest for one, gain in zip(start, gains[len(apart) :], strict=True)]
        weighed = rest / variance
        dot += part * weighed
        squares += rest * weighed
    spread += max(0.0, squares - dot * dot / plan.information)
    wider = max(1.0, (OWN_DF + spread) / (OWN_DF + len(numbers) - 1))  # noisier than the rest: believed less
    return Fit(dot / plan.information, wider / plan.information, -0.5 * (plan.logs + spread), start, plan)


def _merged(common: Common, numbers: Sequence[float]) -> tuple[Vector, float]:
    """Return the values with the common ones as their mean, and how widely the common ones spread."""
    apart = [value - centre for value, centre in zip(numbers, common.start, strict=False)]
    middle = sum(map(mul, apart, common.weights)) / common.total
    rests = [one - middle for one in apart]
    spread = sum(map(mul, map(mul, rests, rests), common.weights))
    return [middle, *numbers[len(apart) :]], spread


def variance_of_effect(parent: Belief, share: float, seen: Sequence[int]) -> float:
    """Return how well d would be known from values with these entries, whatever the values are."""
    (plan,) = plans(parent, [share], common_first(parent, seen), first=1.0)
    return 1 / plan.information
