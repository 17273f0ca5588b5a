"""What the nights on real training come to: means, spreads and shares with their standard errors. Pure.

Every metric here is a loss: lower is better. A gain is positive where the edited version is better.
"""

import math
from collections.abc import Sequence
from statistics import correlation, mean, stdev
from typing import NamedTuple

from tests.noise.real.records import Night, Noise, Values

SURE = 2.0  # standard errors from 0 at which a gain is told apart from none


class Figure(NamedTuple):
    """A number with its standard error."""

    value: float
    error: float


def spread(values: Sequence[float]) -> Figure:
    """Return the standard deviation of one launch."""
    sd = stdev(values)
    return Figure(sd, sd / math.sqrt(2 * (len(values) - 1)))


def seed_share(seeds: Sequence[float], same: Sequence[float]) -> Figure:
    """Return what share of the variance over seeds launches with one seed do not have."""
    left = (stdev(same) / stdev(seeds)) ** 2
    return Figure(1 - left, left * math.sqrt(2 / (len(seeds) - 1) + 2 / (len(same) - 1)))


class Kept(NamedTuple):
    """What an edit does, and what it keeps of the seeds' luck; versions are compared seed by seed."""

    gain: Figure
    correlation: Figure
    sd: float  # of the edited version over seeds
    sd_of_difference: float


def kept_luck(before: Values, after: Values) -> Kept:
    """Compare a version with its parent."""
    pairs = _pairs(before, after)
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    r = correlation(left, right)
    return Kept(
        gain=gain(before, after),
        correlation=Figure(r, (1 - r * r) / math.sqrt(len(pairs) - 2)),
        sd=stdev(right),
        sd_of_difference=stdev(a - b for a, b in pairs),
    )


def gain(before: Values, after: Values) -> Figure:
    """Return by how much the mean is better; the same seeds stand at the same places."""
    apart = [a - b for a, b in _pairs(before, after)]
    return Figure(mean(apart), stdev(apart) / math.sqrt(len(apart)))


def _pairs(before: Values, after: Values) -> list[tuple[float, float]]:
    return [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]


def known(values: Values) -> list[float]:
    """Return the values without the gaps."""
    return [value for value in values if value is not None]


class Came(NamedTuple):
    """What came of a night of scripted edits."""

    launched: int  # edits that had a launch
    unlaunched: int  # that were refused as tried before, or did not find their place
    advances: int
    false: int  # of these: their mean over fresh seeds is not better than their parent's
    unclear: int  # of these: it lies within SURE standard errors of their parent's
    expected_false: float  # as the noise verdict says itself
    final: Figure  # the true value of the best
    gain: Figure  # of the best on the baseline
    flattery: Figure  # what the rule says of its best, less the truth: negative where it says too much good
    sd: float  # of the best, one launch over seeds


def came(night: Night) -> Came:
    """Sum a night of scripted edits up."""
    baseline, truth = night.truths[night.tried[0].run or ""], known(night.truths[night.best])
    gains = [gain(night.truths[one.base], night.truths[one.run or ""]) for one in night.kept]
    final = Figure(mean(truth), stdev(truth) / math.sqrt(len(truth)))
    launched = sum(one.run is not None for one in night.tried[1:])
    return Came(
        launched=launched,
        unlaunched=len(night.tried) - 1 - launched,
        advances=len(gains),
        false=sum(one.value <= 0 for one in gains),
        unclear=sum(abs(one.value) < SURE * one.error for one in gains),
        expected_false=sum(1 - one.p_better for one in night.kept if one.p_better is not None),
        final=final,
        gain=gain(baseline, night.truths[night.best]),
        flattery=Figure(night.shown - final.value, final.error),
        sd=stdev(truth),
    )


def flattery_of_no_ops(night: Night, noise: Noise) -> Figure:
    """Return what a rule says of its best, less the truth, in standard deviations of the noise.

    No edit of such a night does anything: the truth is the baseline's mean over seeds.
    """
    sd = stdev(noise.seeds)
    return Figure((night.shown - mean(noise.seeds)) / sd, 1 / math.sqrt(len(noise.seeds)))
