"""What a candidate's values say of the edit, and of the version that it makes. In sigmas.

An edit moves the mean by d, and keeps the share r of a seed's luck: T' = T + d, x'_j = T' + r (x_j - T) +
luck of its own.
"""

import math
from collections.abc import Sequence
from operator import mul, truediv
from typing import NamedTuple

from ardaemon.judging.noise.belief import Belief, Matrix, Vector, seen_entries, widened
from ardaemon.judging.noise.spread import known
from ardaemon.judging.noise.types import Values

FIRST = 1.5  # × the own luck of a version seen once: tails are heavier than normal, edits change the noise
OWN_DF = 4.0  # values by which a version's own spread counts less than that of all others
LEAST_OWN = 0.05  # variance, in sigma²: every share kept leaves more luck of its own; against rounding errors
AMPLIFIED = 0.1  # variance of the factor by which an edit may amplify a seed's luck


class Fit(NamedTuple):
    """What a candidate's values say, if the edit keeps a certain share of the luck.

    All is linear in the effect d. Given d, the unseen entries that were asked for have the mean
    `start + slope * d` and the covariance `cov` (its lower triangle).
    """

    effect: float  # estimate of d from these values alone
    variance: float  # of that estimate
    evidence: float  # log of how well the values agree with each other
    start: Vector
    slope: Vector
    cov: Matrix
    fresh: float  # as a belief has it


class Plan(NamedTuple):
    """What of a fit does not depend on the values, but on the parent and on which entries are seen."""

    start: Vector  # of the seen entries, then of the others
    rows: Matrix  # of each of these: what the seen entries before it say of it
    variances: Vector  # of each seen entry, given those before it
    parts: Vector  # its slope, given those before it
    information: float  # about d
    logs: float
    slope: Vector  # of the others
    cov: Matrix
    fresh: float


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
    numbers = known(values)
    return [fitted(plan, numbers) for plan in plans(parent, shares, seen_entries(values), others, cautious)]


def plans(
    parent: Belief,
    shares: Sequence[float],
    seen: Sequence[int],
    others: Sequence[int] = (),
    cautious: bool = True,
) -> list[Plan]:
    """Return what of these fits is the same for all values of the entries that are seen."""
    entries = [*seen, *others]
    wide = widened(parent, 1 + max(entries))
    factor = FIRST * FIRST if cautious and len(seen) == 1 else 1.0
    amplified = AMPLIFIED if cautious else 0.0
    return [_plan(*_child(wide, share, entries, factor, amplified), len(seen)) for share in shares]


def fitted(plan: Plan, numbers: Sequence[float]) -> Fit:
    """Return the fit to the values of the entries that are seen."""
    rests, information = Vector(), plan.information
    for value, centre, row in zip(numbers, plan.start, plan.rows, strict=False):
        rests.append(value - centre - sum(map(mul, row, rests)))
    scaled = [*map(truediv, rests, plan.variances)]
    dot, squares = sum(map(mul, plan.parts, scaled)), sum(map(mul, rests, scaled))
    seen = len(numbers)
    others = zip(plan.start[seen:], plan.rows[seen:], strict=True)
    start = [centre + sum(map(mul, row, rests)) for centre, row in others]
    spread = max(0.0, squares - dot * dot / information)
    wider = max(1.0, (OWN_DF + spread) / (OWN_DF + seen - 1))  # noisier than the rest: believed less
    evidence = -0.5 * (math.log(information) + plan.logs + spread)
    return Fit(dot / information, wider / information, evidence, start, plan.slope, plan.cov, plan.fresh)


def variance_of_effect(parent: Belief, share: float, seen: Sequence[int]) -> float:
    """Return how well d would be known from values with these entries, whatever the values are."""
    wide = widened(parent, 1 + max(seen))
    return 1 / _plan(*_child(wide, share, seen, 1.0, AMPLIFIED), len(seen)).information


def _plan(start: Vector, cov: Matrix, fresh: float, seen: int) -> Plan:
    """Take out of each entry what the seen ones before it say: an LDLᵀ factorisation, row by row."""
    rows, variances, left = Matrix(), Vector(), Matrix()
    for i, row in enumerate(cov):
        rest = Vector()
        for shared, earlier in zip(row, rows[:seen], strict=False):
            rest.append(shared - sum(map(mul, rest, earlier)))
        rows.append([*map(truediv, rest, variances)])
        if i < seen:
            variances.append(max(row[i] - sum(map(mul, rest, rows[i])), LEAST_OWN))
        else:
            others = zip(row[seen:], rows[seen:], strict=True)
            left.append([shared - sum(map(mul, rest, other)) for shared, other in others])
    parts = Vector()
    for own in rows[:seen]:
        parts.append(1 - sum(map(mul, own, parts)))
    slope = [1 - sum(map(mul, own, parts)) for own in rows[seen:]]
    information = sum(part * part / variance for part, variance in zip(parts, variances, strict=True))
    logs = sum(map(math.log, variances))
    return Plan(start, rows, variances, parts, information, logs, slope, left, fresh)


def _child(
    parent: Belief, share: float, entries: Sequence[int], factor: float, amplified: float
) -> tuple[Vector, Matrix, float]:
    """Return mean, covariance and fresh luck of a version that an edit with d = 0 makes of the parent.

    The covariance is a lower triangle. `factor`: by which the variance of the child's own luck is larger;
    `amplified`: variance of the factor by which the edit may amplify the parent's.
    """
    mean, cov, fresh = parent
    lost, top = 1 - share, cov[0]
    common, kept, own = lost * lost * top[0], share * share, (1 - share * share) * factor
    half = [share * lost * top[a] for a in entries]
    child = list[Vector]()
    for i, (a, mine) in enumerate(zip(entries, half, strict=True)):
        row, base = cov[a], common + mine
        child.append([base + other + kept * row[b] for other, b in zip(half, entries[: i + 1], strict=False)])
        if a:
            luck = (mean[a] - mean[0]) ** 2 + row[a] - 2 * top[a] + top[0]
            child[i][i] += own + amplified * max(0.0, luck)
    means = [lost * mean[0] + share * mean[a] for a in entries]
    return means, child, (kept + amplified) * fresh + own
