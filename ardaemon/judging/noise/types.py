"""What the noise-aware verdict is given and what it answers: values of runs in, a decision out.

Values are in the metric's own unit and sign, as the script reports them. The j-th value of every run comes
from the j-th seed of the experiment's list of seeds: versions are compared seed by seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ardaemon.core.interval import Interval, around

Values = Sequence[float | None]
# Why a candidate is not kept. The first five rest on statistics; "undecided" is for the daemon to say, when a
# session ends before a confirmation does.
Unkept = Literal[
    "worse",
    "looked_better",
    "too_small",
    "within_noise",
    "unsure",
    "unmeasured",
    "unstable",
    "disturbed",
    "constraint",
    "no_value",
    "undecided",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseConfig:
    """The settings of the verdict; each default says why it has that value (docs/noise.md has the trials)."""

    direction: Literal["min", "max"] = "min"
    min_delta: float = 0.0  # in the metric's unit: an edit must be better by more than this
    start: int = 4  # attempts of the baseline: 3 degrees of freedom; with 2 attempts a quarter is false
    budget: float = 0.20  # expected false advances for each advance; 1-11% are really false
    p_floor: float = 0.6  # no single advance on less, whatever is left of the budget
    price: float = 0.8  # of a launch, × what a fresh edit brings: at 0.5 more are false, at 1.2 less is won
    price_floor: float = 0.02  # and never less than this many sigma, when fresh edits bring nothing
    max_attempts: int = 24  # of one version; with 4 a night at great noise goes half as far
    min_df: int = 6  # below this no advance on one value: sigma may be wrong by half
    unit: float = 1.0  # no setting: what values are divided by as they are worked with (spread.in_reach)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunValues:
    """One run as its files have it."""

    run: str
    values: tuple[float | None, ...]  # by seed; None, as infinite and NaN: the attempt gave no value
    advanced: bool | None = None  # None: not judged yet
    p_better: float | None = None  # as it was at the advance; None if the plain rule kept the run
    failures: int = 0  # confirmations that crashed, ran into a limit or gave no metric
    rerun_failed: bool = False  # so did a rerun of it after it had become the best
    violated: bool = False  # an attempt broke a constraint


def has_value(run: RunValues) -> bool:
    """Tell whether any attempt gave a finite number."""
    return any(value is not None and math.isfinite(value) for value in run.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class BestNow:
    """What is known of the best, and how sure it is; in the metric's unit and sign."""

    run: str
    attempts: int
    mean: float  # over all seeds, corrected for the luck by which it was chosen
    sd: float  # of that mean
    noise: float  # standard deviation of one launch over seeds
    df: int  # degrees of freedom of `noise`
    keeps: float  # share of a seed's luck that an edit keeps, 0 to 1, as learned so far
    advances: int  # that this rule decided
    expected_false: float  # of these: the budget that is spent

    @property
    def interval(self) -> Interval:
        """Return between what two values the mean lies with a probability of 90%."""
        return around(self.mean, self.sd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the candidate when the decision is taken; in the metric's unit and sign."""

    p_better: float  # that the edit is better by more than min_delta
    gain: float  # by how much it is better, over all seeds; negative: worse
    gain_sd: float
    mean: float  # of the candidate over all seeds, corrected as the best's
    sd: float
    first: float  # the first value that it showed
    attempts: int  # launches of it, those without a value included
    best: BestNow


@dataclass(frozen=True, slots=True)
class Advance:
    """The candidate is kept."""

    facts: Facts | None = None  # None: no run before it has a value


@dataclass(frozen=True, slots=True)
class Revert:
    """The candidate is not kept; `facts` is None where the reason needs no statistics."""

    reason: Unkept
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Confirm:
    """One more launch is worth more than a fresh edit: of run `which`, with seed number `seed` (from 0)."""

    which: str
    seed: int
    facts: Facts | None = None


Decision = Advance | Revert | Confirm
