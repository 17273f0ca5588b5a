"""The verdict: facts in, decision out. Pure."""

import math

from msgspec import Struct

from ardaemon.core import constraints
from ardaemon.core.direction import is_better
from ardaemon.core.model import (
    Best,
    ConstraintResult,
    Contract,
    Exit,
    PrimaryResult,
    Status,
    Verdict,
)
from ardaemon.core.reason import CHECK_FAILED, LOST, NOT_COMPARABLE, SHORTER, Reason, read

DIVERGED = "was nan or infinite twice in a row: the run was ended (--on-nan)"
# What is said of a run that somebody did not want to go on.
WISHED = {
    "stopped": "stopped on request",
    "cancelled": "cancelled in the queue",
    "gave_way": "gave way to a run that wanted its place",
}
PIDS_LIMIT = "pids_max was reached: a fork was refused"
DISK_FULL = "the disk was full when it ended"


class VerdictFacts(Struct, frozen=True, kw_only=True):
    """One run that is over, and what it is compared with: all that a verdict depends on."""

    exit: Exit
    contract: Contract
    best: Best | None
    metrics: dict[str, float]
    seal_faults: tuple[str, ...] = ()
    session_constraints: tuple[str, ...] = ()
    log_reason: Reason | None = None  # why the job crashed, as the end of its log shows
    metric_problem: str | None = None  # why the primary metric has no value
    notes: tuple[str, ...] = ()  # what the GPU driver reported during the run
    tainted: str | None = None  # why the conditions of the measurement were not fair
    check_problem: str | None = None  # why a check of the session failed; None: none did, or none was run
    shorter: bool = False  # an equal value wins: the session prefers shorter versions, and this is one
    measure: bool = False  # it is a rerun of the best


class Judgement(Struct, frozen=True, kw_only=True):
    """The decision about one run."""

    status: Status
    verdict: Verdict
    valid: bool
    improved: bool
    reason: Reason | None
    primary: PrimaryResult
    constraints: tuple[ConstraintResult, ...]
    comparable: bool
    failed: bool  # a crash, a timeout or an invalid run, as the job itself brought it about


def judge(facts: VerdictFacts) -> Judgement:
    """Judge one run against the best of this moment."""
    status, reason = _status(facts)
    if reason is not None and status in ("crash", "timeout", "invalid"):
        reason = reason._replace(notes=(*reason.notes, *_notes(facts)))
    primary = _primary(facts)
    checked = tuple(constraints.check(c, facts.metrics.get(c.name)) for c in _constraints(facts))
    valid = status == "ok" and all(c.ok for c in checked) and facts.check_problem is None
    better = status == "ok" and _better(facts, primary, valid)
    improved = better and not facts.measure
    return Judgement(
        status=status,
        verdict=_verdict(status, improved, bool(facts.seal_faults)),
        valid=valid,
        improved=improved,
        reason=reason if status != "ok" else _violated(checked) or _unfit(facts) or _shorter(facts, improved),
        primary=primary,
        constraints=checked,
        comparable=_is_comparable(facts),
        failed=status in ("crash", "timeout", "invalid") and not _is_lost(facts),
    )


def _is_comparable(facts: VerdictFacts) -> bool:
    """Tell whether the run says something about an idea that is new."""
    accident = facts.exit.ending in NOT_COMPARABLE or facts.seal_faults or facts.tainted
    return not (accident or facts.measure)


def _is_lost(facts: VerdictFacts) -> bool:
    """Tell whether somebody else than the job has brought about how the run ended."""
    return facts.exit.ending in LOST or bool(facts.seal_faults)


def _status(facts: VerdictFacts) -> tuple[Status, Reason | None]:
    end = facts.exit
    if end.survivors:
        pids = ", ".join(f"{p.pid} ({p.name})" for p in end.survivors[:4])
        return "unclean", Reason("", f"processes survived the kill: {pids}")
    if end.ending in WISHED:
        return "interrupted", Reason("", WISHED[end.ending])
    if facts.seal_faults:
        return "invalid", Reason("", f"seal broken: {'; '.join(facts.seal_faults[:3])}")
    if end.ending in ("limit", "stall"):
        return "timeout", Reason(end.ending)
    if end.ending == "spawn_failed":
        return "crash", Reason(end.ending, end.error or "")
    if end.ending == "nan":
        return "crash", Reason("nan", f"{facts.contract.primary.metric} {DIVERGED}")
    if end.ending in ("vram_limit", "rss_limit"):  # `error` is the text of a Breach, as measured.json has it
        return "crash", read(end.error) if end.error else Reason(end.ending)
    if end.ending != "exited":
        return "crash", Reason(end.ending)
    if end.exit_code != 0:
        return "crash", facts.log_reason or Reason("", f"exit code {end.exit_code}")
    if _value(facts) is None:
        problem = facts.metric_problem or f"metric {facts.contract.primary.metric} not found"
        return "invalid", Reason("", problem)
    return "ok", None


def _notes(facts: VerdictFacts) -> tuple[str, ...]:
    """Return what else came to light while the run was at work."""
    end = facts.exit
    seen = ((end.pids_limit, PIDS_LIMIT), (end.disk_full, DISK_FULL))
    return (*(note for is_so, note in seen if is_so), *facts.notes[:3])


def _value(facts: VerdictFacts) -> float | None:
    value = facts.metrics.get(facts.contract.primary.metric)
    return value if value is not None and math.isfinite(value) else None


def _primary(facts: VerdictFacts) -> PrimaryResult:
    primary, best, value = facts.contract.primary, facts.best, _value(facts)
    return PrimaryResult(
        name=primary.metric,
        value=value,
        direction=primary.direction,
        best_before=best.value if best else None,
        best_run_before=best.run_id if best else None,
        delta=value - best.value if best is not None and value is not None else None,
    )


def _constraints(facts: VerdictFacts) -> list[constraints.Constraint]:
    texts = dict.fromkeys((*facts.contract.constraints, *facts.session_constraints))
    return [constraints.parse(text) for text in texts]


def _better(facts: VerdictFacts, primary: PrimaryResult, valid: bool) -> bool:
    best, value = facts.best, primary.value
    if value is None:
        return False
    if best is None:
        return True  # the baseline becomes best whatever its value
    if not best.valid:
        return valid  # the first valid run replaces a baseline that is not
    if not valid:
        return False
    if value == best.value:
        return facts.shorter
    return is_better(value, best.value, primary.direction)


def _verdict(status: Status, improved: bool, seal_broken: bool) -> Verdict:
    if status == "ok":
        return "advance" if improved else "revert"
    if status == "invalid":
        return "invalid" if seal_broken else "revert"
    return "crash" if status == "unclean" else status


def _unfit(facts: VerdictFacts) -> Reason | None:
    return None if facts.check_problem is None else Reason(CHECK_FAILED, facts.check_problem)


def _shorter(facts: VerdictFacts, improved: bool) -> Reason | None:
    """Say why a run wins whose value is no better."""
    equal = improved and facts.best is not None and facts.best.valid and _value(facts) == facts.best.value
    return Reason("", SHORTER) if equal else None


def _violated(checked: tuple[ConstraintResult, ...]) -> Reason | None:
    broken = [c for c in checked if not c.ok]
    if not broken:
        return None
    first = broken[0]
    shown = "unknown" if first.value is None else f"{first.value:.6g}"
    return Reason("", f"constraint {first.expr} violated: {shown}")
