"""Which run a request means, and a committed run from its files."""

from ardaemon.core import protocol as p
from ardaemon.core.errors import UnknownRun
from ardaemon.core.layout import Experiment, run_name
from ardaemon.core.run_record import Judged, RunRecord
from ardaemon.experiment import history
from ardaemon.handlers.context import Context
from ardaemon.host import state


async def named(context: Context, experiment: Experiment, run_id: str | None) -> str:
    """The run that is meant: the latest without a name."""
    if run_id is not None:
        if context.board.find(experiment, run_id) or experiment.run(run_id).record.exists():
            return run_id
        raise UnknownRun(f"no run {run_id} in {experiment.slug}", "arctl status --last 10 lists the latest")
    flights = context.board.of(experiment)
    if flights:
        return flights[-1].run.run_id
    found = await context.load(experiment)
    if found.session.last_run == 0:
        raise UnknownRun(f"{experiment.slug} has no run yet", "arctl run --wait")
    return run_name(found.session.last_run)


def stored(experiment: Experiment, run_id: str) -> p.RunView:
    """A committed run, from its files."""
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
        state="committed" if result else "queued",
        argv=record.argv,
        seconds=record.settings.seconds,
        base=record.base,
        note=record.note,
        checkpoint_glob=record.settings.checkpoint_glob,
        exit=record.state.decision.exit if isinstance(record.state, Judged) else None,
        result=result,
    )
