"""Look up the run that a request means, and a run that is not on the board from its files."""

from functools import partial

from ardaemon.core import protocol as p
from ardaemon.core.errors import CorruptState, ForeignOwner, UnknownRun, UnknownSchema
from ardaemon.core.layout import ORIGINAL, Experiment, candidate_number, run_name, run_number
from ardaemon.core.lifecycle import State
from ardaemon.core.run_record import Judged, Launching, RunRecord
from ardaemon.experiment import history, run_folders, vanished
from ardaemon.handlers import unfollowed
from ardaemon.handlers.context import Context
from ardaemon.host import state


async def named(context: Context, experiment: Experiment, run_id: str | None) -> str:
    """Return the id of the run that is meant: the latest where none is named. Raises UnknownRun."""
    if run_id is not None:
        if context.board.find(experiment, run_id):
            return run_id
        if await context.ask(experiment, experiment.run(run_id).record.exists):
            return run_id
        if run_id in unfollowed.stranded(context, experiment):
            return run_id
        if run_id == ORIGINAL:
            what = "is train.py as it was at the beginning, and has no value: it was never launched"
            mend = f"what a run has changed since: arctl diff --against {ORIGINAL}"
            raise UnknownRun(f"{ORIGINAL} {what}", mend)
        raise UnknownRun(f"no run {run_id} in {experiment.slug}", "arctl status --last 10 lists the latest")
    last = await _last_kept(context, experiment)
    left = await unfollowed.listed(context, experiment, last)
    latest = max([last, *map(candidate_number, left)])
    if latest == 0:
        raise UnknownRun(f"{experiment.slug} has no run yet", "arctl run --wait")
    return run_name(latest)


async def _last_kept(context: Context, experiment: Experiment) -> int:
    flights = context.board.candidates(experiment)
    if flights:
        return run_number(flights[-1].run.run_id)
    last = (await context.load(experiment)).session.last_run
    return await context.ask(experiment, partial(_last_with_folder, experiment, last))


def _last_with_folder(experiment: Experiment, last: int) -> int:
    """Return the number of the latest run that has a folder; 0 if there is none. Raises Refused.

    The last id that was given may have none: `--resume fresh` archives the runs, and a copy from before,
    with which somebody goes on, knows less of them. Ids go on all the same.
    """
    if last == 0 or experiment.run(run_name(last)).folder.exists():
        return last
    latest = max(map(run_number, run_folders.ids(experiment)), default=0)
    if latest == 0:
        vanished.require_results(experiment)
    return latest


async def stored(context: Context, experiment: Experiment, run_id: str) -> p.RunView:
    """Return a run from its files: one that is committed, or that no daemon follows. Raises UnknownRun."""
    return await context.ask(experiment, partial(read_stored, experiment, run_id))


def read_stored(experiment: Experiment, run_id: str) -> p.RunView:
    """Read a run from its files, as stored() does; it blocks."""
    run = experiment.run(run_id)
    record = state.read(run.record, RunRecord)
    if record is None:
        raise UnknownRun(f"no run {run_id} in {experiment.slug}", "arctl status --last 10 lists the latest")
    result = history.committed(run, record)
    return p.RunView(
        project=str(experiment.project),
        expr=experiment.slug,
        run_id=run_id,
        folder=str(run.folder),
        state="committed" if result else _state(record),
        runner=record.settings.runner,
        argv=record.argv,
        seconds=record.settings.seconds,
        base=record.base,
        of=record.of,
        note=record.note,
        checkpoint_glob=record.settings.checkpoint_glob,
        submitted_at=record.submitted_at,
        exit=record.state.decision.exit if isinstance(record.state, Judged) else None,
        result=result,
    )


async def state_of(context: Context, experiment: Experiment, run_id: str) -> str:
    """Return the state of a run without a flight; "unknown" where run.json cannot be read: its log may be."""
    return await context.ask(experiment, partial(_state_of, experiment, run_id))


def _state_of(experiment: Experiment, run_id: str) -> str:
    run = experiment.run(run_id)
    try:
        record = state.read(run.record, RunRecord)
    except (CorruptState, UnknownSchema, ForeignOwner):
        return "unknown"
    if record is None:
        return "unknown"
    return "committed" if history.committed(run, record) else _state(record)


def _state(record: RunRecord) -> State:
    match record.state:
        case Launching():
            return "launching"
        case Judged():
            return "judged"
    return "queued"
