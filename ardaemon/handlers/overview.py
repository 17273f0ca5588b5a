"""status.list: all experiments of a project at one glance."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from ardaemon.core import protocol as p
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, Project, project_folder
from ardaemon.experiment import choose, ledger
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import State, load
from ardaemon.handlers.context import Context
from ardaemon.rpc.dispatch import Notify


class Overview:
    """The method on all experiments of a project."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board

    async def status_list(self, params: p.ListStatus, _: Notify) -> p.ProjectView:
        """Show the experiments that were changed last, the newest first.

        One that cannot be read is a warning. Who asks for that one has it repaired.
        """
        project = project_folder(params.project)
        await self.context.settle(project)
        started_here, trusted = self.context.started_here, self.context.config.now.trusted
        look = partial(_listed, project, params, started_here, trusted)
        view = await self.context.disks.ask(project, look)
        return p.ProjectView(
            project=str(project),
            experiments=tuple(self._with_runs(project, one) for one in view.experiments),
            more=view.more,
            warnings=view.warnings,
        )

    def _with_runs(self, project: Path, glance: p.Glance) -> p.Glance:
        """Add the run at work, and how many there are beside it."""
        experiment = Project(project).experiment(glance.expr)
        flights = self.board.of(experiment)
        at_work = [flight for flight in flights if flight.state != "queued"]
        return replace(
            glance,
            running=at_work[0].run.run_id if at_work else None,
            at_work=len(at_work),
            waiting=len(flights) - len(at_work) + self.board.arriving[str(experiment.folder)],
        )


def _listed(
    project: Path, params: p.ListStatus, started_here: StartedHere, trusted: Sequence[str]
) -> p.ProjectView:
    """Read some of the experiments, the newest first, from their files."""
    choose.require_place(project, trusted)
    every = sorted(Project(project).experiments(), key=choose.changed, reverse=True)
    glances, warnings = [], []
    end = params.skip + p.GLANCES_MAX
    for experiment in every[params.skip : end]:
        try:
            own = choose.resolve(str(project), experiment.slug, trusted)  # none of another user's
            glances.append(_glance(own, started_here.as_seen(own, load(own)), params.values))
        except ArdaemonError as error:
            warnings.append(f"{experiment.slug}: {error.message}")
    return p.ProjectView(
        project=str(project),
        experiments=tuple(glances),
        more=max(len(every) - end, 0),
        warnings=tuple(warnings),
    )


def _glance(experiment: Experiment, state: State, values: int) -> p.Glance:
    primary, session, best = state.contract.primary, state.session, state.best
    return p.Glance(
        expr=experiment.slug,
        metric=primary.metric,
        direction=primary.direction,
        live=session.live,
        started=session.settings is not None,
        terminated_by=session.terminated_by,
        best=best.value if best else None,
        best_run=best.run_id if best else None,
        runs=session.counters.total,
        values=tuple(_number(row["primary"]) for row in ledger.last(experiment.results, values)),
    )


def _number(text: str) -> float | None:
    with suppress(ValueError):
        return float(text)
    return None
