"""Decide whether a session ends with a run. Pure; asked at each commit, in the order of DESIGN §5."""

from msgspec import Struct
from msgspec.structs import replace

from ardaemon.core import limits
from ardaemon.core.model import Best, Counters, Settings, Status, Termination, Verdict
from ardaemon.core.words import told_verdict


class Tally(Struct, frozen=True, kw_only=True):
    """The part of a verdict that the counters are raised by."""

    status: Status
    verdict: Verdict
    comparable: bool  # the run says something about the idea; only then it counts for plateau
    failed: bool = False  # counts for max_failures
    measure: bool = False  # it is a rerun of the best
    gpu_seconds: float = 0.0  # of all its GPUs and attempts
    launches: int = 1
    confirmations: int = 0  # of these


def count(counters: Counters, tally: Tally, current: bool = True) -> Counters:
    """Count one more run; a run of an earlier session (not `current`) counts in the totals alone."""
    name = told_verdict(tally.verdict, tally.measure)
    total = {name: getattr(counters, name) + 1}
    if not current:
        return replace(counters, **total)
    plateau = counters.plateau + (1 if tally.comparable else 0)
    return replace(
        counters,
        **total,
        since_start=counters.since_start + 1,
        plateau=0 if tally.verdict == "advance" else plateau,
        failures=0 if tally.status == "ok" else counters.failures + (1 if tally.failed else 0),
        gpu_seconds=counters.gpu_seconds + tally.gpu_seconds,
        launches=counters.launches + tally.launches,
        confirmations=counters.confirmations + tally.confirmations,
    )


def judge(
    settings: Settings,
    counters: Counters,
    best: Best | None,
    status: Status,
    manual: bool,
    hours: float = 0.0,
    met: bool | None = None,
) -> Termination | None:
    """Return why the session ends with this run; None if the session goes on.

    `hours`: since the session started. `met`: whether the threshold is, where the noise verdict has told.
    """
    if status == "unclean":
        return "unclean"
    if manual:
        return "manual"
    if _reached(settings.threshold, best) if met is None else met:
        return "primary_threshold"
    return next(iter(limits.reached(settings, counters, hours)), None)


def _reached(threshold: float | None, best: Best | None) -> bool:
    if threshold is None or best is None or not best.valid:
        return False
    return best.value <= threshold if best.primary.direction == "min" else best.value >= threshold
