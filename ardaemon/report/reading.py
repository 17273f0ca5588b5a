"""What one run says: a value that can be compared, and something about its edit, or not. Pure."""

import math

from ardaemon.core.config import NOTE_MAX
from ardaemon.core.facts import RunFacts
from ardaemon.core.interval import Interval, around
from ardaemon.core.layout import RUN_ID
from ardaemon.core.model import Direction
from ardaemon.core.reason import NOT_COMPARABLE, read
from ardaemon.core.summary import RunLine
from ardaemon.core.text import one_line

FAILED = frozenset({"crash", "timeout", "invalid", "unclean"})


def value_of(run: RunFacts, conditions: str) -> float | None:
    """Return the run's value; None where it has none that can be compared with those under `conditions`.

    "" stands for conditions that nobody has written down: with those every value is compared.
    """
    if run.status != "ok" or run.value is None or not math.isfinite(run.value):
        return None
    return run.value if _same(run, conditions) else None


def is_elsewhere(run: RunFacts, conditions: str) -> bool:
    """Return whether the run has a value, and one that was measured under other conditions."""
    return run.status == "ok" and run.value is not None and not _same(run, conditions)


def _same(run: RunFacts, conditions: str) -> bool:
    return not conditions or run.conditions == conditions


def is_named(run: RunFacts) -> bool:
    """Return whether the run has the id of a run: the file may have come with a clone."""
    return RUN_ID.fullmatch(run.run_id) is not None


def tells(run: RunFacts) -> bool:
    """Return whether the run says something about its edit, as the plateau of a session counts it."""
    if run.measure or run.tainted or run.status == "interrupted" or run.verdict == "invalid":
        return False
    return read(run.reason or "").token not in NOT_COMPARABLE


def rank(value: float, direction: Direction) -> float:
    """Return a number that is lower for the better of two values."""
    return value if direction == "min" else -value


def line_of(run: RunFacts) -> RunLine:
    """Return the run in few words, its text cleaned."""
    interval = interval_of(run)
    return RunLine(
        run_id=run.run_id,
        verdict=run.verdict,
        value=level_of(run),
        before=run.best_before,
        note=one_line(run.note, NOTE_MAX),
        low=interval and interval.low,
        high=interval and interval.high,
        p_better=run.p_better,
        launches=len(run.values),
    )


def level_of(run: RunFacts) -> float | None:
    """Return the run's value; of an advance by --verdict noise its mean over seeds, as it was judged.

    A value that won is lucky more often than not, and the verdict takes that part off.
    """
    estimate = run.estimate if run.verdict == "advance" else None
    return estimate if estimate is not None and math.isfinite(estimate) else run.value


def interval_of(run: RunFacts) -> Interval | None:
    """Return between what two values that mean lies; None where it is no such advance."""
    if run.verdict != "advance" or run.estimate is None or run.estimate_sd is None:
        return None
    interval = around(run.estimate, run.estimate_sd)
    return interval if all(map(math.isfinite, interval)) else None
