"""The lines by which an agent and a person hear of a verdict, and of what it rests on. Pure."""

import math

from ardaemon.core.line import LONG, counted, fit, number, short, times
from ardaemon.judging.noise.drift import Drift
from ardaemon.judging.noise.types import Advance, BestNow, Facts, Revert

LINE_MAX = 150  # bytes, as the verdict's line of `arctl run --wait` has them
RUN_MAX = 12
NAME_MAX = 32  # of a metric
DECIMALS_MOST = 8

# What a revert says that rests on statistics.
MEASURED = {
    "worse": "{first} is no better than the best",
    "looked_better": "{first} looked better, is not",
    "too_small": "{first} is not better by more than --min-delta",
    "within_noise": "within noise, not worth a rerun",
    "unsure": "perhaps better than the best, not surely enough",
}
# And one that needs none.
PLAIN = {
    "unmeasured": "looked no better, and the noise is not known yet",
    "unstable": "unstable: two reruns failed",
    "disturbed": "two launches were tainted, and gave no value; once more: arctl run --again",
    "constraint": "an attempt broke a constraint",
    "no_value": "no attempt gave a value",
    "undecided": "undecided: the session ends before its rerun",
}


def verdict_line(run: str, metric: str, decision: Advance | Revert) -> str:
    """Return `[r0043] advance: val/loss 0.8512 → 0.8441 est. (P=0.97, noise ±0.0021, 2 attempts)`."""
    word = "advance" if isinstance(decision, Advance) else "revert"
    head, facts = f"[{short(run, RUN_MAX)}] {word}: ", decision.facts
    if isinstance(decision, Advance):
        if facts is None:
            return fit(head, f"{short(metric, NAME_MAX)}: the first value", "", LINE_MAX)
        change = f"{_value(facts.best.mean, facts)} → {_value(facts.mean, facts)} est."
        tail = (
            f" (P={facts.p_better:.2f}, noise ±{facts.best.noise:.2g}, {counted(facts.attempts, 'attempt')})"
        )
        return fit(head, f"{short(metric, NAME_MAX)} {change}", tail, LINE_MAX)
    if facts is None or decision.reason in PLAIN:
        return fit(head, PLAIN.get(decision.reason, decision.reason), "", LINE_MAX)
    said = MEASURED[decision.reason].format(first=_value(facts.first, facts))
    attempts = f", {counted(facts.attempts, 'attempt')}" if facts.attempts > 1 else ""
    return fit(head, said, f" (P={facts.p_better:.2f}{attempts})", LINE_MAX)


def broken(attempt: int, seed: int) -> str:
    """Say which of a run's attempts broke a constraint; the reason says which constraint, and by what."""
    return f"attempt {attempt} (seed {seed}) broke a constraint"


def status_line(best: BestNow, launches: int, confirmations: int) -> str:
    """Return `noise: ±0.0021 (31 df), 12 of 55 launches were confirmations; expected false …`."""
    noise = f"noise: ±{best.noise:.2g} ({best.df} df)"
    spent = f"{confirmations} of {launches} launches were confirmations"
    return f"{noise}, {spent}; expected false advances {best.expected_false:.1f} of {best.advances}"


def drift_line(launch: str, seed: int, far: Drift) -> str:
    """Return `r0012m5: 0.874 with seed 5, 4.1 sd from the 0.851 expected: is the machine hotter, …`."""
    what = (
        f"{number(far.value)} with seed {seed}, {times(far.off)} sd from the {number(far.expected)} expected"
    )
    return f"{short(launch, RUN_MAX)}: {what}: is the machine hotter, or does somebody else work on it?"


def _value(value: float, facts: Facts) -> str:
    """Return a value to the digit at which the noise begins, and one more."""
    if facts.best.noise == 0 or abs(value) >= LONG:
        return number(value)
    decimals = 1 - math.floor(math.log10(facts.best.noise))
    if decimals > DECIMALS_MOST:
        return number(value)
    return f"{value:.{max(decimals, 0)}f}"
