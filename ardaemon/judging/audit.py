"""Tell whether the hidden audit confirms what the primary metric says. Pure."""

import math
from collections.abc import Sequence
from typing import Literal

from ardaemon.core.audits import AuditValue
from ardaemon.core.direction import is_better
from ardaemon.core.line import number
from ardaemon.core.model import Direction

# Advances that must have brought the audit nothing before a person is warned: one or two may be luck.
STALLED_AFTER = 3
Trend = Literal["", "better", "worse", "same"]


def warning(values: Sequence[AuditValue], direction: Direction) -> str:
    """Return what a person should know if the primary metric improves and the audit does not; else "".

    Of the values that one command measured since the last baseline: the last STALLED_AFTER advances have
    improved the primary metric, and none of them has a better audit value than the best one before them.
    `direction` is the primary metric's.
    """
    known = comparable(values)
    before, last = known[:-STALLED_AFTER], known[-STALLED_AFTER:]
    if not before or not _improves(before[-1].primary, last[-1].primary, direction):
        return ""
    best = _best(before)
    reached = _best(last)
    if is_better(_value(reached), _value(best), best.direction):
        return ""
    return (
        f"in the last {STALLED_AFTER} advances the primary metric went from {_said(before[-1].primary)} to"
        f" {_said(last[-1].primary)}, and the audit got no better: {number(_value(best))} @ {best.run_id}"
        f" before, {number(_value(reached))} @ {reached.run_id} at best since"
    )


def comparable(values: Sequence[AuditValue]) -> list[AuditValue]:
    """Return the audits that have a value and can be compared with the last one."""
    since = next((n for n in reversed(range(len(values))) if values[n].begins), 0)
    return [
        audit
        for audit in values[since:]
        if audit.value is not None
        and (audit.command, audit.direction) == (values[-1].command, values[-1].direction)
    ]


def trend(before: AuditValue | None, audit: AuditValue) -> Trend:
    """Return how an audit's value stands to the one before it; "" if they cannot be compared."""
    if before is None or before.value is None or audit.value is None or audit.begins:
        return ""
    if (before.command, before.direction) != (audit.command, audit.direction):
        return ""
    if audit.value == before.value:
        return "same"
    return "better" if is_better(audit.value, before.value, audit.direction) else "worse"


def _improves(before: float | None, after: float | None, direction: Direction) -> bool:
    return before is not None and after is not None and is_better(after, before, direction)


def _best(values: Sequence[AuditValue]) -> AuditValue:
    choose = min if values[0].direction == "min" else max
    return choose(values, key=_value)


def _value(audit: AuditValue) -> float:
    return audit.value if audit.value is not None else math.nan


def _said(value: float | None) -> str:
    return "?" if value is None else number(value)
