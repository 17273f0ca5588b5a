"""The commit. Stage one decides and writes the whole decision; stage two applies it, idempotently.

Recovery is stage two again: each step looks whether it was done.
"""

import math
import os
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ardaemon.core.config import RECENT_SUBMITS, RESULT_MAX_BYTES, UNTOLD_MAX
from ardaemon.core.layout import Experiment, Run, run_number
from ardaemon.core.measured import Measured
from ardaemon.core.model import (
    Best,
    Counters,
    Decision,
    Exit,
    Judged,
    Placed,
    Result,
    RunRecord,
    Session,
    Settings,
    TrainFile,
    UncleanRecord,
)
from ardaemon.core.text import cut_bytes
from ardaemon.host import durable, operations, state
from ardaemon.pipeline import (
    checkpoint,
    contract,
    learned,
    ledger,
    leftovers,
    promote,
    prune,
    terminate,
    train_file,
    verdict,
)
from ardaemon.pipeline.experiment import State, chain_of, load_or_repair
from ardaemon.pipeline.extract import Extracted
from ardaemon.pipeline.snapshot import standard_version

# Names under which what was measured is a metric as any other: in constraints, or as the primary one.
SICK = "gpu_fault"  # the taint of a run whose GPU fell ill
GAP_S = 60.0  # of time without a sample, as while no daemon lived: then the result says how long
PEAK_VRAM, PEAK_RSS = "peak_vram_mb", "peak_rss_mb"
SHORT = 80  # bytes of a text in a result that does not fit otherwise


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is over, with everything that was found of it."""

    experiment: Experiment
    run: Run
    record: RunRecord
    exit: Exit
    attempts: int
    extracted: Extracted
    seal_faults: tuple[str, ...]
    manual: bool
    boot_id: str
    slots: tuple[str, ...] = ()
    restarted: bool = False  # the host, since its end: what was not synced may be torn
    measured: Measured | None = None
    notes: tuple[str, ...] = ()  # what its GPUs' driver said meanwhile
    sick: bool = False  # and that was no fault of the program's

    @property
    def metrics(self) -> dict[str, float]:
        """What the script reports and what was measured; the measurement counts where there are both."""
        return self.extracted.metrics | self._peaks()

    def _peaks(self) -> dict[str, float]:
        found = self.measured or Measured()
        # A run that was too short to be looked at has at least its largest process (getrusage(2)).
        rss = max(found.peak_rss_mb or 0, self.exit.max_rss_kb // 1024)
        peaks = {PEAK_RSS: float(rss)} if rss else {}
        return peaks if found.peak_vram_mb is None else {**peaks, PEAK_VRAM: float(found.peak_vram_mb)}

    @property
    def tainted(self) -> str | None:
        """Why it was not measured under fair conditions."""
        if self.sick:
            return SICK
        return self.measured.tainted if self.measured is not None else None


def decide(ended: Ended) -> RunRecord:
    """Stage one: judge against the best of this moment; the decision is durable when this returns."""
    found = load_or_repair(ended.experiment)
    decision = _decision(ended, found)
    record = replace(ended.record, state=Judged(decision))
    state.write(ended.run.record, record)
    return record


def _decision(ended: Ended, found: State) -> Decision:
    judged = verdict.judge(_facts(ended, found))
    tally = terminate.Ended(status=judged.status, verdict=judged.verdict, comparable=judged.comparable)
    session, stamp = found.session, ended.exit.ended_at or state.now()
    settings = session.settings or ended.record.settings
    current = ended.record.epoch == session.epoch  # not so: its session is over, and another has begun
    counters = terminate.count(session.counters, tally, current)
    result = _result(ended, judged, stamp)
    promoted, passed = _checkpoint(ended) if judged.improved else checkpoint.Found(None)
    if passed:
        result = _passed_over(result, promoted, passed)
    if promoted is not None and ended.restarted:
        result, promoted = _without(result, "the host restarted before it was safe on the disk"), None
    if promoted is not None:
        checkpoint.settle(promoted)
        result = replace(result, checkpoint=f".ckpt/{ended.run.run_id}")
    best = _best(ended, found, result) if judged.improved else None
    after = best or found.best
    why = session.terminated_by
    if session.live or why is None:
        manual = ended.manual and current
        why = terminate.judge(settings, counters, after, judged.status, manual)
    result = replace(result, **_outlook(settings, counters, after, why, ended.experiment))
    place = (
        Placed(ended.run.run_id, ended.record.sha256) if best else standard_version(ended.experiment, found)
    )
    result = fit(result)
    return Decision(
        result=result,
        row=ledger.row(result, ended.record.sha256),
        counters=counters,
        exit=ended.exit,
        best=best,
        live=session.live and why is None,
        terminated_by=why,
        peaks=_learned(ended, found, judged),
        place=place,
        stood=train_file.current(ended.experiment) == ended.record.sha256,
        in_train=_replaceable(ended, found, place),
        unclean=_unclean(ended, stamp),
        promote=str(promoted) if promoted else None,
        left=leftovers.written(ended.experiment, ended.run, ended.record.settings, promoted),
    )


def _learned(ended: Ended, found: State, judged: verdict.Judgement) -> dict[str, tuple[float, ...]]:
    """What runs of this experiment need on a GPU, by what the good ones used."""
    if judged.status != "ok" or ended.measured is None:
        return found.session.peaks
    return learned.learn(found.session.peaks, ended.measured)


def _facts(ended: Ended, found: State) -> verdict.Facts:
    return verdict.Facts(
        exit=ended.exit,
        contract=found.contract,
        best=found.best,
        metrics=ended.metrics,
        seal_faults=ended.seal_faults,
        session_constraints=ended.record.settings.constraints,
        log_reason=ended.extracted.reason,
        metric_problem=ended.extracted.problem,
        tainted=ended.tainted,
        notes=ended.notes,
    )


def _result(ended: Ended, judged: verdict.Judgement, stamp: str) -> Result:
    metrics = {n: v for n, v in ended.metrics.items() if math.isfinite(v)}
    return Result(
        run_id=ended.run.run_id,
        expr=ended.experiment.slug,
        status=judged.status,
        verdict=judged.verdict,
        valid=judged.valid,
        improved_over_best=judged.improved,
        primary=judged.primary,
        metrics={n: v for n, v in metrics.items() if n not in (judged.primary.name, PEAK_RSS, PEAK_VRAM)},
        metrics_source=ended.extracted.source,
        counted=ended.extracted.counted,
        constraints=judged.constraints,
        peak_vram_mb=metrics.get(PEAK_VRAM),
        peak_vram_source=_source(ended, metrics),
        peak_rss_mb=metrics.get(PEAK_RSS),
        tainted=ended.tainted,
        seconds=ended.exit.seconds,
        exit_code=ended.exit.exit_code,
        signal=ended.exit.signal,
        reason=judged.reason,
        base=ended.record.base,
        attempts=ended.attempts,
        note=ended.record.note,
        started_at=ended.exit.started_at,
        ended_at=stamp,
    )


def _source(ended: Ended, metrics: dict[str, float]) -> str | None:
    """Where the peak is from: measured, or, where nothing could be, what the script itself reports."""
    measured = ended.measured
    if measured is not None and measured.peak_vram_mb is not None:
        unseen = f", {measured.gap_s:.0f} s unseen" if measured.gap_s > GAP_S else ""
        return f"{measured.source}{unseen}"
    return "reported" if PEAK_VRAM in metrics else None


def _checkpoint(ended: Ended) -> checkpoint.Found:
    started = datetime.fromisoformat(ended.exit.started_at or ended.record.submitted_at).timestamp()
    return checkpoint.find(ended.experiment, ended.run, ended.record.settings, started, ended.attempts)


def _best(ended: Ended, found: State, result: Result) -> Best:
    value = result.primary.value
    assert value is not None, "only a run with a value advances"
    return Best(
        run_id=result.run_id,
        primary=found.contract.primary,
        value=value,
        valid=result.valid,
        metrics=result.metrics,
        sha256=ended.record.sha256,
        checkpoint=result.checkpoint,
        at=result.ended_at or "",
        conditions=contract.conditions(ended.record.settings, found.contract),
    )


def _outlook(
    settings: Settings, counters: Counters, best: Best | None, why: str | None, experiment: Experiment
) -> dict[str, object]:
    chain = chain_of(experiment)
    return {
        "should_terminate": why is not None,
        "terminated_by": why,
        "plateau": None if settings.plateau is None else f"{counters.plateau}/{settings.plateau}",
        "runs": None if settings.max_runs is None else f"{counters.since_start}/{settings.max_runs}",
        "best": best.run_id if best else None,
        "best_value": best.value if best else None,
        "chain_remaining": chain.chain_remaining if chain else None,
    }


def _replaceable(ended: Ended, found: State, place: Placed) -> tuple[str, ...]:
    placed = found.session.placed
    hashes = {ended.record.sha256, place.sha256}
    if placed is not None:
        hashes.add(placed.sha256)
    return tuple(sorted(hashes))


def _unclean(ended: Ended, stamp: str) -> UncleanRecord | None:
    if not ended.exit.survivors:
        return None
    return UncleanRecord(
        run_id=ended.run.run_id,
        survivors=ended.exit.survivors,
        boot_id=ended.boot_id,
        at=stamp,
        slots=ended.slots,
        cgroup=ended.exit.cgroup,
    )


def fit(result: Result) -> Result:
    """Cut a result to RESULT_MAX_BYTES; primary, verdict and termination always stand."""
    for candidate in _shorter(result):
        result = candidate
        # train_py is filled in later, by a word that may be longer than now.
        if len(state.encode(replace(result, train_py="edited_since"))) <= RESULT_MAX_BYTES:
            break
    return result


def _shorter(result: Result) -> Iterator[Result]:
    """The result, then less and less of it: what is missed least goes first."""
    yield result
    metrics = list(result.metrics.items())
    while metrics:
        metrics = metrics[: len(metrics) // 2]
        yield (result := replace(result, metrics=dict(metrics)))
    source = cut_bytes(result.metrics_source or "", SHORT) or None
    yield (result := replace(result, metrics_source=source))
    yield (result := replace(result, note=result.note[: SHORT // 2]))
    yield (result := replace(result, constraints=tuple(c for c in result.constraints if not c.ok)[:3]))
    yield (result := replace(result, note="", reason=cut_bytes(result.reason or "", SHORT) or None))
    cut = tuple(replace(c, expr=cut_bytes(c.expr, SHORT)) for c in result.constraints[:1])
    yield (result := replace(result, constraints=cut))
    yield replace(result, constraints=(), metrics_source=None, reason=None)


def apply(
    experiment: Experiment,
    run: Run,
    record: RunRecord,
    told: Collection[str] = (),
    promotion: promote.Promotion | None = None,
) -> Result:
    """Stage two: every step idempotent, result.json last. Returns the committed result.

    `told`: earlier runs whose verdict somebody has waited for since the session was last written.
    `promotion`: who is told of a long copy, and what earlier tries of this process have found.
    """
    assert isinstance(record.state, Judged)
    promotion = promotion or promote.Promotion()
    decision = _promoted(experiment, run, record.state.decision, promotion)
    if decision.best is not None:
        if decision.promote is None:
            promote.withdraw(experiment)
        state.write(experiment.best, decision.best, folder=False)
    outcome = _restore(experiment, record, decision)
    ledger.add(experiment.results, decision.row)
    _count(experiment, record, decision, outcome != "edited_since", told)
    if decision.unclean is not None:
        state.write(experiment.unclean, decision.unclean, folder=False)
    promotion.prune_in_s = prune.prune(experiment, promotion.in_use)
    leftovers.tidy(experiment, record.settings, decision.left)
    with state.storage("sync", experiment.folder):
        durable.sync_folder(experiment.folder)  # once for all of the above: result.json says it is done
    _point_log(run)
    result = replace(decision.result, train_py=outcome)
    state.write(run.result, result)
    return result


def _promoted(experiment: Experiment, run: Run, decision: Decision, promotion: promote.Promotion) -> Decision:
    """The decision once its checkpoint is promoted; where it cannot be, one without it, made durable."""
    if decision.promote is None:
        return decision
    known = state.read(run.record, RunRecord)
    if known is not None and isinstance(known.state, Judged) and known.state.decision.promote is None:
        return known.state.decision  # an earlier try has written it down
    source = Path(decision.promote)
    problem = promote.promote(experiment, run.run_id, source, decision.result, promotion)
    if problem is None:
        return decision
    without = replace(
        decision,
        promote=None,
        result=fit(_without(decision.result, problem)),
        best=replace(decision.best, checkpoint=None) if decision.best else None,
    )
    if known is not None:
        state.write(run.record, replace(known, state=Judged(without)))
    return without


def _passed_over(result: Result, promoted: Path | None, passed: tuple[str, ...]) -> Result:
    """A save that was cut short is never taken without a word, nor left out without one."""
    if promoted is None:
        return _without(result, passed[0])
    why = f"checkpoint {promoted.name} promoted: {passed[0]}"
    return replace(result, reason=f"{result.reason}; {why}" if result.reason else why)


def _without(result: Result, problem: str) -> Result:
    """It advances without its checkpoint, and says why."""
    why = f"checkpoint not promoted: {problem}"
    why = f"{result.reason}; {why}" if result.reason else why
    return replace(result, checkpoint=None, reason=why)


def _restore(experiment: Experiment, record: RunRecord, decision: Decision) -> TrainFile:
    assert decision.place is not None
    outcome = train_file.place(experiment, decision.place, decision.in_train, record.sha256)
    # Already there, but not when it was decided: an apply that was cut short has put it there.
    return "updated" if outcome == "kept" and not decision.stood else outcome


def _remember(recent: dict[str, str], record: RunRecord) -> dict[str, str]:
    """The last submit ids, so that a client that tries again finds its run."""
    others = [item for item in recent.items() if item[0] != record.submit_id]
    return dict([*others[-(RECENT_SUBMITS - 1) :], (record.submit_id, record.run_id)])


def _untold(session: Session, run_id: str, told: Collection[str]) -> tuple[str, ...]:
    """The runs whose verdict nobody has heard, this one the last of them."""
    others = tuple(other for other in session.untold if other not in told and other != run_id)
    return (*others, run_id)[-UNTOLD_MAX:]


def _count(
    experiment: Experiment, record: RunRecord, decision: Decision, placed: bool, told: Collection[str]
) -> None:
    session = state.read(experiment.session, Session) or Session(last_run=0)
    wanted = replace(
        session,
        counters=decision.counters,
        peaks=decision.peaks,
        live=decision.live,
        terminated_by=decision.terminated_by,
        placed=decision.place if placed else session.placed,
        last_run=max(session.last_run, run_number(record.run_id)),
        recent_submits=_remember(session.recent_submits, record),
        results_bytes=ledger.size(experiment.results),
        untold=_untold(session, record.run_id, told),
    )
    if wanted != session:
        state.write(experiment.session, wanted, folder=False)


def _point_log(run: Run) -> None:
    """runs/r0001/run.log: the last attempt's."""
    attempts = sorted(p.name for p in run.folder.glob("a[0-9]*") if p.is_dir())
    if attempts and not run.log.is_symlink():
        with state.storage("link", run.log):
            operations.symlink(os.path.join(attempts[-1], "run.log"), run.log)


def finish(run: Run, entry: Path) -> None:
    """The active entry goes: the run is committed."""
    with state.storage("remove", entry):
        durable.remove(entry)
