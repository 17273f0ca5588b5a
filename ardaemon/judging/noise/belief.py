"""The belief about one version: what is known of its mean over all seeds, and of its value with each seed.

All numbers are in sigmas. Entry 0 of a belief is the version's mean over all seeds, entry 1 + j its value
with seed j; together they are normally distributed. What a value differs from the mean is its seed's *luck*.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ardaemon.judging.noise.spread import known, mean
from ardaemon.judging.noise.types import Values

Vector = list[float]
Matrix = list[list[float]]


class Belief(NamedTuple):
    """Mean and covariance of a version's entries.

    A seed has no entry as long as no version of its line (the version, its parent, and so on) has a value
    with it: its luck is then independent of all that is known, and `fresh` is its variance.
    """

    mean: Vector
    cov: Matrix
    fresh: float


class Unseen(NamedTuple):
    """Mean and covariance (its lower triangle) of entries of which there is no value; `fresh` as above."""

    mean: Vector
    cov: Matrix
    fresh: float


def of_baseline(values: Values) -> Belief:
    """Return the belief about a version of which only its values are known."""
    centre, share = mean(known(values)), 1 / len(known(values))
    others = unseen_entries(values, 1 + len(values))
    cov = [[share + (a == b > 0) for b in others[: i + 1]] for i, a in enumerate(others)]
    return completed(Unseen([centre] * len(others), cov, 1.0), values, others)


def seen_entries(values: Values) -> list[int]:
    """Return the entries of which there are values."""
    return [1 + j for j, value in enumerate(values) if value is not None]


def is_seen(belief: Belief, entry: int) -> bool:
    """Tell whether the version itself has a value with the entry's seed."""
    return entry < len(belief.cov) and belief.cov[entry][entry] == 0


def common_first(parent: Belief, entries: Sequence[int]) -> list[int]:
    """Return the entries, those first of which the parent has values too."""
    return sorted(entries, key=lambda entry: not is_seen(parent, entry))


def numbers_of(values: Values, seen: Sequence[int]) -> list[float]:
    """Return the values of these entries, each of which has one."""
    return known([values[entry - 1] for entry in seen])


def luck(belief: Belief, entry: int) -> float:
    """Return the square of the entry's luck that is to be expected."""
    mean, cov, _ = belief
    variance = cov[entry][entry] - 2 * cov[0][entry] + cov[0][0]
    return max(0.0, (mean[entry] - mean[0]) ** 2 + variance)


def unseen_entries(values: Values, entries: int) -> list[int]:
    """Return the others of so many entries."""
    return [a for a in range(entries) if not 0 < a <= len(values) or values[a - 1] is None]


def completed(unseen: Unseen, values: Values, others: Sequence[int]) -> Belief:
    """Return the belief about all entries: `others` are the unseen ones, the seen ones have their values."""
    entries = len(others) + len(known(values))
    means = [0.0] * entries
    cov = [[0.0] * entries for _ in means]
    for a, value in enumerate(values, 1):
        if value is not None:
            means[a] = value
    for a, centre, row in zip(others, unseen.mean, unseen.cov, strict=True):
        means[a] = centre
        for b, shared in zip(others, row, strict=False):
            cov[a][b] = cov[b][a] = shared
    return Belief(means, cov, unseen.fresh)


def widened(belief: Belief, entries: int) -> Belief:
    """Return the belief with so many entries at least."""
    mean, cov, fresh = belief
    more = entries - len(mean)
    if more <= 0:
        return belief
    rows = [[*row, *[row[0]] * more] for row in cov]
    rows += [[*rows[0]] for _ in range(more)]
    for i in range(len(mean), entries):
        rows[i][i] += fresh
    return Belief([*mean, *[mean[0]] * more], rows, fresh)


def once_seen(belief: Belief, entry: int) -> Belief:
    """Return the belief as it will be when the entry's value is known; only the covariance can be told."""
    at = belief.cov[entry]
    if at[entry] <= 0:
        return belief
    gains = [shared / at[entry] for shared in at]
    cov = [
        [a - gain * b for a, b in zip(row, at, strict=True)]
        for row, gain in zip(belief.cov, gains, strict=True)
    ]
    return belief._replace(cov=cov)
