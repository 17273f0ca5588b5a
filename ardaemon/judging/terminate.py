"""Is the experiment over? Pure; judged at each commit, in the order of the design."""

from msgspec import Struct
from msgspec.structs import replace

from ardaemon.core.model import Best, Counters, Settings, Status, Termination, Verdict


class Ended(Struct, frozen=True, kw_only=True):
    """What a run's end means for the counters."""

    status: Status
    verdict: Verdict
    comparable: bool  # does it say anything about the idea? only then it counts for plateau


def count(counters: Counters, ended: Ended, current: bool = True) -> Counters:
    """The counters after one more run; one of an earlier session (not `current`) counts in total alone."""
    total = {ended.verdict: getattr(counters, ended.verdict) + 1}
    if not current:
        return replace(counters, **total)
    plateau = counters.plateau + (1 if ended.comparable else 0)
    return replace(
        counters,
        **total,
        since_start=counters.since_start + 1,
        plateau=0 if ended.verdict == "advance" else plateau,
    )


def judge(
    settings: Settings, counters: Counters, best: Best | None, status: Status, manual: bool
) -> Termination | None:
    """Why the session ends with this run; None if it goes on."""
    if status == "unclean":
        return "unclean"
    if manual:
        return "manual"
    if _reached(settings.threshold, best):
        return "primary_threshold"
    if settings.plateau is not None and counters.plateau >= settings.plateau:
        return "plateau"
    if settings.max_runs is not None and counters.since_start >= settings.max_runs:
        return "max_runs"
    return None


def _reached(threshold: float | None, best: Best | None) -> bool:
    if threshold is None or best is None or not best.valid:
        return False
    return best.value <= threshold if best.primary.direction == "min" else best.value >= threshold
