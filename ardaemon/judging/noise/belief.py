"""The belief about one version, and what it says of the version that an edit makes of it.

All numbers are in sigmas. Entry 0 of a belief is the version's mean over all seeds, entry 1 + j its value
with seed j; together they are normally distributed. An edit moves the mean by d, and keeps the share r of a
seed's luck: T' = T + d, x'_j = T' + r (x_j - T) + luck of its own.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ardaemon.judging.noise.spread import known, mean
from ardaemon.judging.noise.types import Values

Vector = list[float]
Matrix = list[list[float]]

FIRST = 1.5  # × the own luck of a version seen once: tails are heavier than normal, edits change the noise
OWN_DF = 4.0  # values by which a version's own spread counts less than that of all others
LEAST_OWN = 0.05  # variance, in sigma²: every share kept leaves more luck of its own; against rounding errors
AMPLIFIED = 0.1  # variance of the factor by which an edit may amplify a seed's luck


class Belief(NamedTuple):
    """Mean and covariance of a version's entries."""

    mean: Vector
    cov: Matrix


class Fit(NamedTuple):
    """What a candidate's values say, if the edit keeps a certain share of the luck.

    All is linear in the effect d: the belief about the candidate, given d, is `start + slope * d` with
    covariance `cov`.
    """

    effect: float  # estimate of d from these values alone
    variance: float  # of that estimate
    evidence: float  # log of how well the values agree with each other
    start: Vector
    slope: Vector
    cov: Matrix


def of_baseline(values: Values, entries: int) -> Belief:
    """Return the belief about a version of which only its values are known."""
    centre, share = mean(known(values)), 1 / len(known(values))
    seen = {1 + j for j, value in enumerate(values) if value is not None}
    at = range(entries)
    means = [values[a - 1] if a in seen else centre for a in at]
    cov = [[0.0 if a in seen or b in seen else share + (a == b > 0) for b in at] for a in at]
    return Belief([value for value in means if value is not None], cov)


def seen_entries(values: Values) -> list[int]:
    """Return the entries of which there are values."""
    return [1 + j for j, value in enumerate(values) if value is not None]


class Plan(NamedTuple):
    """What of a fit does not depend on the values, but on the parent and on which entries are seen."""

    start: Vector
    # Of each seen entry: which one, its variance, its slope, what it says of the others.
    steps: list[tuple[int, float, float, Vector]]
    information: float  # about d
    logs: float
    slope: Vector
    cov: Matrix


def fit(parent: Belief, share: float, values: Values, entries: Sequence[int], cautious: bool = True) -> Fit:
    """Return what the values say of an edit that keeps `share` of the luck; the belief has the `entries`.

    `cautious`: as a verdict has it, which takes a version's own luck for larger than it usually is.
    """
    return fitted(planned(parent, share, seen_entries(values), entries, cautious), known(values))


def planned(
    parent: Belief, share: float, seen: Sequence[int], entries: Sequence[int], cautious: bool = True
) -> Plan:
    """Return what of a fit is the same for all values of the entries that are seen."""
    factor = FIRST * FIRST if cautious and len(seen) == 1 else 1.0
    start, cov = _child(parent, share, entries, factor, AMPLIFIED if cautious else 0.0)
    return _plan(start, cov, [entries.index(entry) for entry in seen])


def _plan(start: Vector, cov: Matrix, seen: Sequence[int]) -> Plan:
    steps = list[tuple[int, float, float, Vector]]()
    slope, information, logs = [1.0] * len(start), 0.0, 0.0
    for at in seen:
        variance, part = max(cov[at][at], LEAST_OWN), slope[at]
        gains = [row[at] / variance for row in cov]
        steps.append((at, variance, part, gains))
        information += part * part / variance
        logs += math.log(variance)
        slope = [a - gain * part for a, gain in zip(slope, gains, strict=True)]
        cov = _without(cov, at, gains)
    return Plan(start, steps, information, logs, slope, cov)


def fitted(plan: Plan, numbers: Sequence[float]) -> Fit:
    """Return the fit to the values of the entries that are seen."""
    start, information, dot, squares = plan.start, plan.information, 0.0, 0.0
    for (at, variance, part, gains), value in zip(plan.steps, numbers, strict=True):
        rest = value - start[at]
        dot += part * rest / variance
        squares += rest * rest / variance
        start = [a + gain * rest for a, gain in zip(start, gains, strict=True)]
    spread = max(0.0, squares - dot * dot / information)
    wider = max(1.0, (OWN_DF + spread) / (OWN_DF + len(numbers) - 1))  # noisier than the rest: believed less
    evidence = -0.5 * (math.log(information) + plan.logs + spread)
    return Fit(dot / information, wider / information, evidence, start, plan.slope, plan.cov)


def variance_of_effect(parent: Belief, share: float, entries: Sequence[int]) -> float:
    """Return how well d would be known from values with these entries, whatever the values are."""
    start, cov = _child(parent, share, entries, 1.0, AMPLIFIED)
    return 1 / _plan(start, cov, range(len(entries))).information


def once_seen(belief: Belief, entry: int) -> Belief:
    """Return the belief as it will be when the entry's value is known; only the covariance can be told."""
    variance = belief.cov[entry][entry]
    if variance <= 0:
        return belief
    return Belief(belief.mean, _without(belief.cov, entry, [row[entry] / variance for row in belief.cov]))


def _child(
    parent: Belief, share: float, entries: Sequence[int], factor: float, amplified: float
) -> tuple[Vector, Matrix]:
    """Return mean and covariance of the entries of a version that an edit with d = 0 makes of the parent.

    `factor`: by which the variance of the child's own luck is larger; `amplified`: variance of the factor by
    which the edit may amplify the parent's.
    """
    mean, cov = parent
    lost, top = 1 - share, cov[0]
    common, kept, own = lost * lost * top[0], share * share, (1 - share * share) * factor
    half = [share * lost * top[a] for a in entries]
    child = [
        [common + mine + other + kept * row[b] for other, b in zip(half, entries, strict=True)]
        for mine, row in zip(half, (cov[a] for a in entries), strict=True)
    ]
    for i, a in enumerate(entries):
        if a:
            luck = (mean[a] - mean[0]) ** 2 + cov[a][a] - 2 * top[a] + top[0]
            child[i][i] += own + amplified * max(0.0, luck)
    return [lost * mean[0] + share * mean[a] for a in entries], child


def _without(cov: Matrix, at: int, gains: Vector) -> Matrix:
    """Return the covariance once entry `at` is known."""
    known_row = cov[at]
    return [
        [a - gain * b for a, b in zip(row, known_row, strict=True)] if gain else row
        for row, gain in zip(cov, gains, strict=True)
    ]
