"""What of a fit does not depend on the values, but on the parent and on which seeds have values. In sigmas.

An edit moves the mean by d, and keeps the share r of a seed's luck: T' = T + d, x'_j = T' + r (x_j - T) +
luck of its own.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ardaemon.judging.noise.belief import Belief, Matrix, Vector, is_seen, luck, widened

FIRST = 1.5  # × the own luck of a version seen once: tails are heavier than normal, edits change the noise
LEAST_OWN = 0.05  # variance, in sigma²: every share kept leaves more luck of its own; against rounding errors
AMPLIFIED = 0.1  # variance of the factor by which an edit may amplify a seed's luck


class Common(NamedTuple):
    """The seeds that both the child and its parent have values with.

    The parent's luck with them is known. So all that they say of the child's other entries, their mean says,
    weighted by how little luck of its own each has.
    """

    start: Vector  # of each: its value, if d = 0 and the parent's mean is as believed
    weights: Vector  # of each: 1 / the variance of its own luck
    total: float  # of the weights


class Step(NamedTuple):
    """A seen entry, once all that the seen ones before it say is taken out."""

    variance: float
    part: float  # its slope
    gains: Vector  # what it says of each entry after it


class Plan(NamedTuple):
    """How values are to be worked out, if the edit keeps a certain share of the luck.

    All common seeds are one entry here, the first: how far their mean lies from what it is if d = 0.
    """

    common: Common | None
    start: Vector  # of the seen entries, then of the others
    steps: list[Step]
    information: float  # about d
    logs: float
    slope: Vector  # of the others
    cov: Matrix  # of the others, its lower triangle
    fresh: float


class _Child(NamedTuple):
    """What is asked of a child, and what of it is the same whatever share of the luck the edit keeps."""

    parent: Belief
    entries: list[int]  # the common seeds, the other seen ones, the others
    common: int
    seen: int
    factor: float  # by which the variance of the child's own luck is larger
    amplified: float  # variance of the factor by which the edit may amplify the parent's luck
    lucks: Vector  # of each entry: the square of the parent's luck that is to be expected


def plans(
    parent: Belief,
    shares: Sequence[float],
    seen: Sequence[int],
    others: Sequence[int] = (),
    cautious: bool = True,
    first: float = FIRST,
) -> list[Plan]:
    """Return how to work out values of the entries `seen`, the common ones first, for each share kept.

    `cautious`: as a verdict has it, which takes a version's own luck for larger than it usually is. `first`:
    by how much (standard deviation) if it has one value.
    """
    entries = [*seen, *others]
    wide = widened(parent, 1 + max(entries))
    factor = first * first if cautious and len(seen) == 1 else 1.0
    common = sum(is_seen(wide, a) for a in seen)
    lucks = [luck(wide, a) for a in entries]
    child = _Child(wide, entries, common, len(seen), factor, AMPLIFIED if cautious else 0.0, lucks)
    return [_plan(child, share) for share in shares]


def _plan(child: _Child, share: float) -> Plan:
    """Return how to work the values out if the edit keeps this share of the luck."""
    mean, cov, fresh = child.parent
    kept, new = share * share, (1 - share * share) * child.factor
    start = [(1 - share) * mean[0] + share * mean[a] for a in child.entries]
    own = [
        new + child.amplified * square if a else 0.0
        for a, square in zip(child.entries, child.lucks, strict=True)
    ]
    common, entries, seen, logs = None, child.entries, child.seen, 0.0
    if count := child.common:
        weights = [1 / one for one in own[:count]]
        common = Common(start[:count], weights, sum(weights))
        # The mean of the common seeds has the covariances of any of them, for their luck is known.
        entries, seen = entries[count - 1 :], seen - count + 1
        start, own = [0.0, *start[count:]], [1 / common.total, *own[count:]]
        logs = math.log(common.total) - sum(map(math.log, weights))
    steps, slope, left = _reduced(_covariance(cov, share, entries, own), seen)
    information = sum(part * part / variance for variance, part, _ in steps)
    logs += sum(math.log(step.variance) for step in steps) + math.log(information)
    return Plan(common, start, steps, information, logs, slope, left, (kept + child.amplified) * fresh + new)


def _covariance(cov: Matrix, share: float, entries: Sequence[int], own: Vector) -> Matrix:
    """Return the covariance of a child's entries, a lower triangle, from the parent's and their own luck."""
    top, kept, mixed = cov[0], share * share, share * (1 - share)
    common = (1 - share) ** 2 * top[0]
    half = [mixed * top[a] for a in entries]
    child = Matrix()
    for i, (a, mine, added) in enumerate(zip(entries, half, own, strict=True)):
        row, base = cov[a], common + mine
        child.append([base + other + kept * row[b] for other, b in zip(half, entries[: i + 1], strict=False)])
        child[i][i] += added
    return child


def _reduced(cov: Matrix, seen: int) -> tuple[list[Step], Vector, Matrix]:
    """Take out of all entries what the seen ones say: an LDLᵀ factorisation.

    Return a step for each seen entry, and the slopes and the covariance of the others.
    """
    steps, slope = list[Step](), [1.0] * len(cov)
    for i in range(seen):
        (variance, *column), (part, *slope) = [row[0] for row in cov], slope
        variance = max(variance, LEAST_OWN) if i else variance
        gains = [shared / variance for shared in column]
        cov = [
            [shared - gain * other for shared, other in zip(row[1:], column, strict=False)]
            for row, gain in zip(cov[1:], gains, strict=True)
        ]
        slope = [one - gain * part for one, gain in zip(slope, gains, strict=True)]
        steps.append(Step(variance, part, gains))
    return steps, slope, cov
