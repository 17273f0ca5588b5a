"""The commit's first stage: judge, and write the whole decision down before anything is done by it."""

import math
from datetime import datetime

from msgspec.structs import replace

from ardaemon.checkpoints import find as checkpoint
from ardaemon.checkpoints import leftovers
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Again, Best, Counters, Exit, Placed, Result, Settings, UncleanRecord
from ardaemon.core.run_record import AttemptResult, Decision, Judged, Queued, RunRecord
from ardaemon.experiment import ledger, seal, train_file
from ardaemon.experiment.chain import chain_of
from ardaemon.experiment.ready import version_to_restore
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.state import State
from ardaemon.host import state
from ardaemon.judging import again, terminate, verdict
from ardaemon.measuring import learned
from ardaemon.pipeline.ended import Ended
from ardaemon.pipeline.outcome import fit, passed_over, result_of, without


def decide(ended: Ended) -> RunRecord:
    """Judge against the best of this moment; the decision is durable when this returns.

    The record's state is Judged then; or Queued, where another attempt is due.
    """
    found = load_or_repair(ended.experiment)
    judged = verdict.judge(_facts(ended, found))
    why = _again(ended, found, judged)
    after = Judged(_decision(ended, found, judged)) if why is None else _waiting(ended, judged, why)
    record = replace(ended.record, state=after)
    state.write(ended.run.record, record)
    return record


def _again(ended: Ended, found: State, judged: verdict.Judgement) -> Again | None:
    """Return why another attempt is due, if one may be made."""
    if not ended.may_repeat or ended.seal_faults or ended.restarted:
        return None
    facts = again.AttemptFacts(
        exit=ended.exit,
        reason=ended.extracted.reason,
        tainted=ended.tainted,
        sick=ended.sick,
        shared=ended.shared,
        before=tuple(attempt.why for attempt in ended.before),
        value=judged.primary.value,
        best=found.best,
    )
    return again.wanted(facts, ended.record.settings)


def _waiting(ended: Ended, judged: verdict.Judgement, why: Again) -> Queued:
    """Return the run as it waits for its next attempt, with what this one measured."""
    metrics = {name: value for name, value in ended.metrics.items() if math.isfinite(value)}
    measured = AttemptResult(why=why, seed=ended.seed, value=judged.primary.value, metrics=metrics)
    return Queued(attempts=(*ended.before, measured), seed=ended.seed)


def _decision(ended: Ended, found: State, judged: verdict.Judgement) -> Decision:
    tally = terminate.Tally(status=judged.status, verdict=judged.verdict, comparable=judged.comparable)
    session, stamp = found.session, ended.exit.ended_at or state.now()
    settings = session.settings or ended.record.settings
    current = ended.record.epoch == session.epoch  # not so: its session is over, and another has begun
    counters = terminate.count(session.counters, tally, current)
    result = result_of(ended, judged, stamp)
    promoted, passed = _checkpoint(ended) if judged.improved else checkpoint.LatestCheckpoint(None)
    if passed:
        result = passed_over(result, promoted, passed)
    if promoted is not None and ended.restarted:
        result, promoted = without(result, "the host restarted before it was safe on the disk"), None
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
        Placed(ended.run.run_id, ended.record.sha256) if best else version_to_restore(ended.experiment, found)
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
        unclean=unclean_of(ended.run.run_id, ended.exit, ended.slots, ended.boot_id, stamp),
        promote=str(promoted) if promoted else None,
        left=leftovers.written(ended.experiment, ended.run, ended.record.settings, promoted),
    )


def _learned(ended: Ended, found: State, judged: verdict.Judgement) -> dict[str, tuple[float, ...]]:
    """What runs of this experiment need on a GPU, by what the good ones used."""
    if judged.status != "ok" or ended.measured is None:
        return found.session.peaks
    return learned.learn(found.session.peaks, ended.measured)


def _facts(ended: Ended, found: State) -> verdict.VerdictFacts:
    return verdict.VerdictFacts(
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


def _checkpoint(ended: Ended) -> checkpoint.LatestCheckpoint:
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
        conditions=seal.conditions(ended.record.settings, found.contract),
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


def unclean_of(
    run_id: str, end: Exit, slots: tuple[str, ...], boot_id: str, stamp: str
) -> UncleanRecord | None:
    """Return what survived the kill of a run; None where nothing did."""
    if not end.survivors:
        return None
    return UncleanRecord(
        run_id=run_id, survivors=end.survivors, boot_id=boot_id, at=stamp, slots=slots, cgroup=end.cgroup
    )
