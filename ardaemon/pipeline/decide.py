"""The commit's first stage: judge, and write the whole decision down before anything is done by it."""

import dataclasses
from pathlib import Path

from msgspec.structs import replace

from ardaemon.checkpoints import find as checkpoint
from ardaemon.checkpoints import leftovers
from ardaemon.core.folders import Unsearched
from ardaemon.core.layout import Project
from ardaemon.core.line import hours
from ardaemon.core.model import (
    Again,
    Best,
    Counters,
    Placed,
    Result,
    SeedValue,
    Termination,
)
from ardaemon.core.run_record import AttemptResult, Decision, Judged, Left, Queued, RunRecord
from ardaemon.experiment import ledger, seal, train_file, versions
from ardaemon.experiment.chain import link_of, of_project
from ardaemon.experiment.chain_generation import is_before
from ardaemon.experiment.own_records import PLAIN, Records
from ardaemon.experiment.ready import version_to_restore
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.state import State, hours_of
from ardaemon.experiment.vanished import require_newest
from ardaemon.host import state
from ardaemon.judging import again, terminate, verdict
from ardaemon.judging.next_step import next_step
from ardaemon.judging.noise.types import RunValues
from ardaemon.measuring import learned
from ardaemon.pipeline import launch_values, measured_best, noise_history, noise_verdict
from ardaemon.pipeline.ended import Ended
from ardaemon.pipeline.noise_verdict import Ruling
from ardaemon.pipeline.outcome import all_kept, fit, passed_over, result_of, unclean_of, without
from ardaemon.source import lines


class BestFirst(Exception):
    """The best is to be launched once more before the run can be judged; nothing was decided."""

    def __init__(self, seed: int) -> None:
        super().__init__(f"with seed {seed}")
        self.seed = seed


class ChecksFirst(Exception):
    """The run would win, and the session's checks come before that; nothing was decided."""


def decide(ended: Ended, records: Records = PLAIN) -> RunRecord:
    """Judge against the best of this moment; the decision is durable when this returns.

    The record's state is Judged then; or Queued, where another attempt is due. `records` signs it. Raises
    ChecksFirst and BestFirst, and Refused if the files know less than was committed here.
    """
    current = load_or_repair(ended.experiment)
    require_newest(ended.experiment, current.session)
    # Its job may have rewritten the snapshot. Where no copy is left, the commit says so as it places it.
    versions.put_right(ended.experiment, ended.run.run_id, ended.record.sha256)
    judged = verdict.judge(_facts(ended, current))
    why = _again(ended, current, judged)
    ruling = None
    if why is None and noise_verdict.applies(ended, current, judged):
        ruling = noise_verdict.rule(ended, current, judged)
        if ruling.best_seed is not None:
            raise BestFirst(ruling.best_seed)
        if ruling.decision is not None:
            judged = noise_verdict.ruled(judged, ruling, _is_shorter(ended, current))
    decided = why is None and (ruling is None or ruling.confirm is None)
    wins = decided and judged.improved and judged.valid
    if wins and ended.record.settings.checks and ended.checked is None:
        raise ChecksFirst
    record = replace(ended.record, state=_after(ended, current, judged, why, ruling))
    state.write(ended.run.record, records.signed(record))
    return record


def _after(
    ended: Ended, current: State, judged: verdict.Judgement, why: Again | None, ruling: Ruling | None
) -> Queued | Judged:
    """Return what becomes of the run: it is decided, or waits for another launch."""
    if why is not None:
        return _waiting(ended, judged, why, ended.seed)
    if ruling is not None and ruling.confirm is not None:
        return _waiting(ended, judged, "confirm", ruling.confirm, ruling.values[-1])
    if ended.record.of:
        return Judged(measured_best.decision_of(ended, current, judged))
    return Judged(_decision(ended, current, judged, ruling))


def _again(ended: Ended, current: State, judged: verdict.Judgement) -> Again | None:
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
        best=current.best,
    )
    return again.wanted(facts, ended.record.settings)


def _waiting(
    ended: Ended, judged: verdict.Judgement, why: Again, seed: int, one: SeedValue | None = None
) -> Queued:
    """Return the run as it waits for its next attempt, with what this one measured; `one` if that counts."""
    measured = AttemptResult(
        why=why,
        seed=ended.seed,
        value=one.value if one is not None else judged.primary.value,
        metrics=ended.finite_metrics,
        gpu_seconds=ended.gpu_seconds,
        status=judged.status,
    )
    return Queued(attempts=(*ended.before, measured), seed=seed)


def _decision(ended: Ended, current: State, judged: verdict.Judgement, ruling: Ruling | None) -> Decision:
    """Return everything that stage two will write, so that it has nothing left to decide."""
    stamp = ended.exit.ended_at or state.now()
    result, promoted = _with_checkpoint(ended, judged, result_of(ended, judged, stamp))
    result, left = _with_leftovers(ended, result, promoted)
    if ruling is not None:
        result = noise_verdict.told(result, ruling)
    else:
        result = noise_verdict.unruled(result, ended, judged)
    best = _best(ended, current, result) if judged.improved else None
    counters = _counters(ended, current, judged)
    why = _termination(ended, current, judged, counters, best)
    result = fit(replace(result, **_outlook(ended, current, counters, best or current.best, why)))
    place = _place(ended, current, best)
    return Decision(
        result=result,
        row=ledger.row(result, ended.record.sha256),
        counters=counters,
        exit=ended.exit,
        best=best,
        live=current.session.live and why is None,
        terminated_by=why,
        peaks=_learned(ended, current, judged),
        place=place,
        stood=train_file.current(ended.experiment) == ended.record.sha256,
        in_train=_replaceable(ended, current, place),
        unclean=unclean_of(ended.run.run_id, ended.exit, ended.slots, ended.boot_id, stamp),
        promote=str(promoted) if promoted else None,
        left=left,
        noise=_noise(ended, current, counters, best, ruling),
        generation=current.session.generation,
    )


def _noise(ended: Ended, current: State, counters: Counters, best: Best | None, ruling: Ruling | None) -> str:
    """Return what the session says of the noise after this run: it counts the launches of every run."""
    settings, standing = ended.settings_in(current.session), best or current.best
    if settings.verdict != "noise" or standing is None:
        return ""
    history = _replayed(ruling, best) or noise_verdict.history_of(
        ended.experiment, standing, settings, current
    )
    config = noise_verdict.config_of(settings, current.contract.primary)
    return noise_verdict.noise_line(history, config, counters)


def _replayed(ruling: Ruling | None, best: Best | None) -> list[RunValues]:
    """Return what the verdict has replayed, the run with what became of it; [] if it replayed nothing."""
    if ruling is None or not ruling.history:
        return []
    *earlier, run = ruling.history
    p_better = best.p_better if best is not None else None
    return [*earlier, dataclasses.replace(run, advanced=best is not None, p_better=p_better)]


def _with_checkpoint(ended: Ended, judged: verdict.Judgement, result: Result) -> tuple[Result, Path | None]:
    """Return the result as it tells of its checkpoint, and the file or folder to promote, if there is one."""
    if not judged.improved:
        return result, None
    promoted, passed = _checkpoint(ended)
    if passed:
        result = passed_over(result, promoted, passed)
    if promoted is None:
        return result, None
    if ended.restarted:
        return without(result, "the host restarted before it was safe on the disk"), None
    checkpoint.settle(promoted)
    return replace(result, checkpoint=f".ckpt/{ended.run.run_id}"), promoted


def _with_leftovers(ended: Ended, result: Result, promoted: Path | None) -> tuple[Result, tuple[Left, ...]]:
    """Return what the run left for --keep-checkpoints, and the result; it says why where nobody can tell."""
    try:
        return result, leftovers.written(ended.experiment, ended.run, ended.record.settings, promoted)
    except Unsearched as error:
        return all_kept(result, str(error)), ()


def _checkpoint(ended: Ended) -> checkpoint.LatestCheckpoint:
    started = state.seconds(ended.exit.started_at, ended.record.submitted_at)
    return checkpoint.find(ended.experiment, ended.run, ended.record.settings, started, ended.attempts)


def _counters(ended: Ended, current: State, judged: verdict.Judgement) -> Counters:
    tally = terminate.Tally(
        status=judged.status,
        verdict=judged.verdict,
        comparable=judged.comparable,
        failed=judged.failed,
        measure=ended.record.measure,
        gpu_seconds=ended.all_gpu_seconds,
        launches=ended.attempts,
        confirmations=len(launch_values.confirmations(ended.before)),
    )
    return terminate.count(current.session.counters, tally, ended.is_of(current.session))


def _termination(
    ended: Ended, current: State, judged: verdict.Judgement, counters: Counters, best: Best | None
) -> Termination | None:
    """Return why the session is over after this run; None if it goes on. `best`: this run, if it advances."""
    session = current.session
    if not session.live and session.terminated_by is not None:
        return session.terminated_by  # as it was before: a run that was still at work changes nothing of it
    manual = ended.manual and ended.is_of(current.session)
    settings, standing = ended.settings_in(current.session), best or current.best
    met = None
    if settings.verdict == "noise":
        met = standing is not None and measured_best.is_reached(ended, current, settings, standing)
    return terminate.judge(settings, counters, standing, judged.status, manual, hours_of(session), met)


def _place(ended: Ended, current: State, best: Best | None) -> Placed:
    """Return what train.py shall hold: this run's version if it is the new best, else the best so far."""
    if best is not None:
        return Placed(ended.run.run_id, ended.record.sha256)
    return version_to_restore(ended.experiment, current)


def _learned(ended: Ended, current: State, judged: verdict.Judgement) -> dict[str, tuple[float, ...]]:
    """Return what runs of this experiment need on a GPU, by what the good ones used (MiB)."""
    if judged.status != "ok" or ended.measured is None:
        return current.session.peaks
    return learned.learn(current.session.peaks, ended.measured)


def _facts(ended: Ended, current: State) -> verdict.VerdictFacts:
    return verdict.VerdictFacts(
        exit=ended.exit,
        contract=current.contract,
        best=_to_beat(ended, current),
        metrics=ended.metrics,
        seal_faults=ended.seal_faults,
        session_constraints=ended.record.settings.constraints,
        log_reason=ended.extracted.reason,
        metric_problem=ended.extracted.problem,
        tainted=ended.tainted,
        notes=ended.notes,
        check_problem=ended.checked.problem if ended.checked is not None else None,
        shorter=_is_shorter(ended, current),
        measure=ended.record.measure,
    )


def _to_beat(ended: Ended, current: State) -> Best | None:
    """Return the best as the session's rule compares a value with it."""
    best = current.best
    if best is None or ended.record.settings.verdict == "noise":
        return best
    return noise_history.once_seen(best)


def _is_shorter(ended: Ended, current: State) -> bool:
    """Tell whether an equal value wins: it is that of a shorter train.py, and the session prefers such."""
    best, value = _to_beat(ended, current), ended.metrics.get(current.contract.primary.metric)
    if not ended.record.settings.prefer_shorter or best is None or value is None:
        return False
    by_noise = ended.record.settings.verdict == "noise"
    if not (noise_verdict.is_equal(ended, best, value) if by_noise else value == best.value):
        return False
    versions = (ended.run.train, ended.experiment.run(best.run_id).train)
    ours, theirs = (lines.count(train_file.snapshot(version)) for version in versions)
    return ours < theirs


def _best(ended: Ended, current: State, result: Result) -> Best:
    value = result.primary.value
    assert value is not None, "only a run with a value advances"
    conditions = seal.conditions(ended.record.settings, current.contract)
    by_noise = ended.record.settings.verdict == "noise"
    return Best(
        run_id=result.run_id,
        primary=current.contract.primary,
        value=result.estimate if result.estimate is not None else value,
        valid=result.valid,
        metrics=result.metrics,
        sha256=ended.record.sha256,
        checkpoint=result.checkpoint,
        at=result.ended_at or "",
        conditions=conditions,
        values=noise_history.by_seed(result) if by_noise else (),
        p_better=result.p_better,  # None also of one that is equal and shorter: it spends no budget
        earlier=noise_history.remembered(current.best, conditions) if by_noise else (),
        advances=current.session.counters.advance + 1,
    )


def _outlook(
    ended: Ended, current: State, counters: Counters, best: Best | None, why: Termination | None
) -> dict[str, object]:
    """Return the fields of the result that say how the session goes on; `best` is the best after this run."""
    settings, stands = ended.settings_in(current.session), of_project(Project(ended.experiment.project))
    chain = link_of(stands, ended.experiment)
    went_back = stands is not None and is_before(stands, current.session.chain)
    return {
        "should_terminate": why is not None,
        "terminated_by": why,
        "next": next_step(why, settings, chain, best is not None, went_back),
        "chain_over": why is not None and chain is not None and chain.left == 0,
        "plateau": _of(counters.plateau, settings.plateau),
        "runs": _of(counters.since_start, settings.max_runs),
        "hours": _hours(hours_of(current.session), settings.max_hours),
        "gpu_hours": _hours(counters.gpu_hours, settings.max_gpu_hours),
        "failures": _of(counters.failures, settings.max_failures),
        "launches": _of(counters.launches, settings.max_launches),
        "best": best.run_id if best else None,
        "best_value": best.value if best else None,
        "chain_remaining": chain.left if chain else None,
    }


def _of(count: int, most: int | None) -> str | None:
    """Return how much of a limit is used up, as `42/200`; None where there is no such limit."""
    return None if most is None else f"{count}/{most}"


def _hours(used: float, most: float | None) -> str | None:
    return None if most is None else hours(used, most)


def _replaceable(ended: Ended, current: State, place: Placed) -> tuple[str, ...]:
    """Return the hashes of what may be overwritten in train.py: nothing else than what is kept elsewhere."""
    placed = current.session.placed
    hashes = {ended.record.sha256, place.sha256}
    if placed is not None:
        hashes.add(placed.sha256)
    return tuple(sorted(hashes))
