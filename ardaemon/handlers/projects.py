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

LISTED_MAX = 10  # runs that are named to a person, of those that go on and of the others


class Projects:
    """The methods on projects."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board

    async def project_adopt(self, params: p.Adopt, _: Notify) -> p.Adopted:
        """Take over the runs that a daemon of another state folder has left, once it has ended."""
        project = project_folder(params.project)
        look = partial(choose.require_place, project, self.context.config.now.trusted)
        await self.context.disks.ask(project, look)
        # Not in a thread of the project's disk: thousands of runs may be left.
        take = partial(anyio.to_thread.run_sync, self._take_over, project, params.take_over)
        taken = await self.context.once_let_go(project, take)
        self.context.ownership.wake()
        if taken.entries:
            await self.context.take_up(taken.entries)
        return await anyio.to_thread.run_sync(self._view, project, taken)

    def _take_over(self, project: Path, stale: bool) -> Adopted:
        if not Project(project).home.is_dir():
            raise UnknownExperiment(f"there is no experiment in {project}", f"create one with: {CREATE}")
        context = self.context
        adoption = Adoption(
            project, context.host, context.ownership.me, context.started_here, self.board.next_seq
        )
        context.ownership.adopt(project, adoption.take_over, stale)
        return adoption.done

    def _view(self, project: Path, taken: Adopted) -> p.Adopted:
        flights = self.board.flights.values()
        runs = [
            f"{f.experiment.slug}/{f.run.run_id}" for f in list(flights) if f.experiment.project == project
        ]
        unseen = dict(taken.unseen)
        for name in adopt.left_over(project, self.context.host.active):
            unseen.setdefault(
                name,
                "it has no active entry here: the state folder of the daemon that had it is away, or it was"
                " left to another container or host",
            )
        lines = bounded([f"{name} goes on here" for name in runs], "that go on here")
        lines += bounded([f"{name} does not: {why}" for name, why in unseen.items()], "that do not")
        return p.Adopted(
            project=str(project),
            runs=tuple(runs),
            unseen=tuple(f"{name}: {why}" for name, why in unseen.items()),
            said=tuple(lines) or (f"this daemon has {project}, and no run was left",),
        )


def bounded(lines: list[str], what: str) -> list[str]:
    """Return the first lines, and how many more there are."""
    more = len(lines) - LISTED_MAX
    return (
        lines if more <= 0 else [*lines[:LISTED_MAX], f"and {more} more {what}: arctl adopt --json names all"]
    )
