"""project.*: who may change a project."""

from functools import partial
from pathlib import Path

import anyio.to_thread

from ardaemon.core import protocol as p
from ardaemon.core.errors import UnknownExperiment
from ardaemon.core.layout import Project, project_folder
from ardaemon.core.words import CREATE
from ardaemon.experiment import choose
from ardaemon.handlers.context import Context
from ardaemon.pipeline import adopt
from ardaemon.pipeline.adopt import Adopted, Adoption
from ardaemon.rpc.dispatch import Notify


class Projects:
    """The methods on projects."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board

    async def project_adopt(self, params: p.Adopt, _: Notify) -> p.Adopted:
        """Take over the runs that a daemon of another state folder has left, once it has ended."""
        project = project_folder(params.project)
        look = partial(choose.require_place, project, self.context.config.now.trusted)
        await self.context.disks.ask(project, look)
        taken = await anyio.to_thread.run_sync(self._take_over, project)  # thousands of runs may be left
        self.context.ownership.wake()
        if taken.entries:
            await self.context.take_up(taken.entries)
        return await anyio.to_thread.run_sync(self._view, project, taken)

    def _take_over(self, project: Path) -> Adopted:
        if not Project(project).home.is_dir():
            raise UnknownExperiment(f"there is no experiment in {project}", f"create one with: {CREATE}")
        context = self.context
        adoption = Adoption(
            project, context.host, context.ownership.me, context.started_here, self.board.next_seq
        )
        context.ownership.adopt(project, adoption.take_over)
        return adoption.done

    def _view(self, project: Path, taken: Adopted) -> p.Adopted:
        flights = self.board.flights.values()
        runs = [
            f"{f.experiment.slug}/{f.run.run_id}" for f in list(flights) if f.experiment.project == project
        ]
        unseen = dict(taken.unseen)
        for name in adopt.left_over(project, self.context.host.active):
            unseen.setdefault(
                name, "its active entry is nowhere to be seen: the state folder of before is away"
            )
        lines = [f"{name} goes on here" for name in runs]
        lines += [f"{name} does not: {why}" for name, why in unseen.items()]
        return p.Adopted(
            project=str(project),
            runs=tuple(runs),
            unseen=tuple(f"{name}: {why}" for name, why in unseen.items()),
            said=tuple(lines) or (f"this daemon has {project}, and no run was left",),
        )
