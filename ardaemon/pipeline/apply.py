"""The commit's second stage: apply what was decided, idempotently. The first is decide.py.

Recovery is this stage again: each step looks whether it was done, so that a kill between any two of them
changes nothing of what comes out in the end.
"""

import os
from collections.abc import Collection
from pathlib import Path

from msgspec.structs import replace

from ardaemon.checkpoints import leftovers, promote, prune
from ardaemon.core.config import RECENT_SUBMITS, UNDELIVERED_MAX
from ardaemon.core.layout import Experiment, Run, run_number
from ardaemon.core.model import Result, Session, TrainFile
from ardaemon.core.run_record import Decision, Judged, RunRecord
from ardaemon.experiment import generation, ledger, placing, vanished
from ardaemon.experiment.own_records import PLAIN, Records
from ardaemon.host import durable, operations, state
from ardaemon.pipeline.outcome import fit, without


def apply(
    experiment: Experiment,
    run: Run,
    record: RunRecord,
    delivered: Collection[str] = (),
    promotion: promote.Promotion | None = None,
    records: Records = PLAIN,
) -> Result:
    """Carry the decision out: every step can be repeated, result.json comes last. Returns what is committed.

    `delivered`: earlier runs whose verdict a client has got since the session was last written.
    `promotion`: who is told of a long copy, and what earlier tries of this process have found.
    `records`: which records are believed.
    """
    assert isinstance(record.state, Judged)
    promotion = promotion or promote.Promotion()
    vanished.require_newest_there(experiment, written=record.state.decision.generation)
    if record.of:
        return _apply_measured(experiment, run, record.state.decision)
    decision = _promoted(experiment, run, record.state.decision, promotion, records)
    if decision.best is not None:
        if decision.promote is None:
            promote.withdraw(experiment)
        state.write(experiment.best, decision.best, folder=False)
    outcome = _restore(experiment, record, decision)
    ledger.add(experiment.results, decision.row)
    _count(experiment, record, decision, outcome != "edited_since", delivered)
    if decision.unclean is not None:
        state.write(experiment.unclean, decision.unclean, folder=False)
    promotion.prune_in_s = prune.prune(experiment, promotion.in_use)
    leftovers.tidy(experiment, record.settings, decision.left)
    with state.storage("sync", experiment.folder):
        durable.sync_folder(experiment.folder)  # once for all of the above: result.json says it is done
    _point_log(run)
    _drop_bookmarks(run)
    result = replace(decision.result, train_py=outcome)
    state.write(run.result, result)
    return result


def _apply_measured(experiment: Experiment, run: Run, decision: Decision) -> Result:
    """Carry out what was decided of a measurement: the best's values and the counters, and no more."""
    if decision.best is not None:
        state.write(experiment.best, decision.best, folder=False)
    session = state.read(experiment.session, Session) or Session(last_run=0)
    wanted = replace(
        session,
        counters=decision.counters,
        live=session.live and decision.live,
        terminated_by=decision.terminated_by or session.terminated_by,
        noise=decision.noise,
        drift=decision.drift or session.drift,
        best_measured=_best_measured(session, decision),
    )
    if wanted != session:
        generation.write(experiment, wanted, folder=False)
    if decision.unclean is not None:
        state.write(experiment.unclean, decision.unclean, folder=False)
    with state.storage("sync", experiment.folder):
        durable.sync_folder(experiment.folder)
    _point_log(run)
    _drop_bookmarks(run)
    state.write(run.result, decision.result)
    return decision.result


def _promoted(
    experiment: Experiment, run: Run, decision: Decision, promotion: promote.Promotion, records: Records
) -> Decision:
    """Return the decision, its checkpoint promoted; or one without it, made durable, if it cannot be."""
    if decision.promote is None:
        return decision
    written = records.read(run)
    if written is not None and isinstance(written.state, Judged) and written.state.decision.promote is None:
        return written.state.decision  # by an earlier try
    source = Path(decision.promote)
    problem = promote.promote(experiment, run.run_id, source, decision.result, promotion)
    if problem is None:
        return decision
    bare = replace(
        decision,
        promote=None,
        result=fit(without(decision.result, problem)),
        best=replace(decision.best, checkpoint=None) if decision.best else None,
    )
    if written is not None:
        state.write(run.record, records.signed(replace(written, state=Judged(bare))))
    return bare


def _restore(experiment: Experiment, record: RunRecord, decision: Decision) -> TrainFile:
    assert decision.place is not None
    outcome = placing.place(experiment, decision.place, decision.in_train, record.sha256)
    # Already there, but not when it was decided: an apply that was cut short has put it there.
    return "updated" if outcome == "kept" and not decision.stood else outcome


def _remember(recent: dict[str, str], record: RunRecord) -> dict[str, str]:
    """Return the last submit ids, so that a client that tries again finds its run."""
    others = [item for item in recent.items() if item[0] != record.submit_id]
    return dict([*others[-(RECENT_SUBMITS - 1) :], (record.submit_id, record.run_id)])


def _undelivered(session: Session, run_id: str, delivered: Collection[str]) -> tuple[str, ...]:
    """Return the runs whose verdict no client has got, this one the last of them."""
    others = tuple(other for other in session.undelivered if other not in delivered and other != run_id)
    return (*others, run_id)[-UNDELIVERED_MAX:]


def _count(
    experiment: Experiment, record: RunRecord, decision: Decision, placed: bool, delivered: Collection[str]
) -> None:
    session = state.read(experiment.session, Session) or Session(last_run=0)
    wanted = replace(
        session,
        counters=decision.counters,
        peaks=decision.peaks,
        noise=decision.noise,
        live=session.live and decision.live,  # it may have been stopped since the decision
        terminated_by=decision.terminated_by or session.terminated_by,
        placed=decision.place if placed else session.placed,
        last_run=max(session.last_run, run_number(record.run_id)),
        recent_submits=_remember(session.recent_submits, record),
        results_bytes=ledger.size(experiment.results),
        undelivered=_undelivered(session, record.run_id, delivered),
        best_measured=_best_measured(session, decision),
    )
    if wanted != session:
        generation.write(experiment, wanted, folder=False)


def _best_measured(session: Session, decision: Decision) -> int:
    return session.best_measured if decision.best is None else decision.best.measured


def _point_log(run: Run) -> None:
    """Let runs/r0001/run.log lead to the last attempt's."""
    folders = [p.name for p in run.folder.glob("a[0-9]*") if p.name[1:].isdecimal() and p.is_dir()]
    if not folders:
        return
    last = max(folders, key=lambda name: int(name[1:]))  # as numbers: a10 comes after a2
    target = os.path.join(last, "run.log")
    with state.storage("link", run.log):
        if not os.path.lexists(run.log):
            operations.symlink(target, run.log)
            return
        if not run.log.is_symlink():  # a job, or a clone, has put it there: it stays, under another name
            state.put_aside(run.log)
        elif os.readlink(run.log) == target:
            return
        durable.link_to(target, run.log)


def _drop_bookmarks(run: Run) -> None:
    """Remove how far the metrics were read: they are read, and nobody goes on there."""
    for bookmark in run.bookmarks():
        with state.storage("remove", bookmark):
            durable.remove(bookmark)


def finish(entry: Path) -> None:
    """Remove the active entry, which lies in the daemon's own folder: the run is committed."""
    with state.storage("remove", entry):
        durable.remove(entry)
