"""chain.*: the experiments of a project that follow each other."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import TypeVar

import anyio

from ardaemon.core import protocol as p
from ardaemon.core.errors import StorageError
from ardaemon.core.events import SessionChanged
from ardaemon.core.layout import Experiment, Project, project_folder
from ardaemon.experiment import chain, chaining, child, child_files, choose, links
from ardaemon.handlers.context import Context
from ardaemon.handlers.reports import report_bytes
from ardaemon.rpc.dispatch import Notify

T = TypeVar("T")


class Chains:
    """The methods on chains."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board

    async def chain_init(self, params: p.ChainInit, _: Notify) -> p.ChainMade:
        """Make the experiment that follows another one: whole, or not at all (experiment/chaining.py)."""
        project = await self._project(params.project)
        async with self.context.changing_chain(project.folder):
            experiment = await self._ask(project, partial(child.made_before, project, params))
            if experiment is None:
                look = partial(child.parent_of, project, params, self.context.config.now.trusted)
                parent = await self._ask(project, look)
                # Before the lock is taken: the lines of the last runs may still have to be written under it.
                report = sha256(await report_bytes(self.context, parent)).hexdigest()
                async with self.context.changing(parent):
                    experiment = await self._followed(project, parent, params, report)
        return await self._ask(project, partial(links.made, experiment))

    async def _followed(
        self, project: Project, parent: Experiment, params: p.ChainInit, report: str
    ) -> Experiment:
        """Make the child of that parent, and return it."""
        at_work, waiting = self._runs(parent)
        started_here, trusted = self.context.started_here, self.context.config.now.trusted
        around = child.Around(at_work, waiting, report, started_here, trusted)
        planned = await self.context.do(parent, partial(child.plan, parent, params, around))
        child.require_none_at_work(parent, self._runs(parent)[0])  # one may have started meanwhile
        if planned.decision.dropped:
            self.board.hold(parent.folder, True)
        fill = partial(child_files.fill, child=planned, around=around)
        work = partial(chaining.make, planned.experiment, planned.chain, planned.making, fill)
        with anyio.CancelScope(shield=True):  # a client that goes away leaves nothing half done
            try:
                await self.context.do(parent, work)
                await self.context.finish_chain(project.folder)
            except Exception:
                self.context.settled.discard(project.folder)  # the next request undoes or finishes it
                await self._release(parent, planned)
                raise
        self.board.hold(parent.folder, True)  # by that an idle launch gives way
        self.context.idler.session(parent, False)
        self.board.announce(parent, SessionChanged(live=False))
        self.board.announce(planned.experiment, SessionChanged(live=True))
        return planned.experiment

    async def _release(self, parent: Experiment, planned: child.Child) -> None:
        """Let the parent's runs go on that wait, unless the child is there: then they are to be cancelled."""
        with suppress(StorageError):
            there = await self.context.ask(parent, planned.experiment.folder.is_dir)
            if planned.decision.dropped and not there:
                self.board.hold(parent.folder, False)

    def _runs(self, parent: Experiment) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the parent's runs that are at work, and those that wait; an idle launch gives way later."""
        flights = [flight for flight in self.board.of(parent) if not flight.is_idle]
        seated = self.board.placement.seated
        waits = [flight for flight in flights if flight.only_waits and flight.key not in seated]
        at_work = tuple(flight.run.run_id for flight in flights if flight not in waits)
        return at_work, tuple(flight.run.run_id for flight in waits)

    async def chain_get(self, params: p.ChainGet, _: Notify) -> p.ChainView:
        """Show the chain."""
        return await self._view(await self._project(params.project), params.last)

    async def chain_stop(self, params: p.ChainStop, _: Notify) -> p.ChainView:
        """End the chain; its current experiment goes on."""
        project = await self._project(params.project)
        async with self.context.changing_chain(project.folder):
            current = (await self._ask(project, partial(chain.require, project))).current_slug
            async with self.context.locks.of(project.experiment(current).folder):
                await self.context.disks.do(project.folder, partial(chain.stop, project))
        return await self._view(project, 0)

    async def _project(self, folder: str) -> Project:
        """Return the project of that folder. Raises UsageError, and ForeignOwner for another user's."""
        project = project_folder(folder)
        look = partial(choose.require_place, project, self.context.config.now.trusted)
        await self.context.disks.ask(project, look)
        return Project(project)

    async def _ask(self, project: Project, work: Callable[[], T]) -> T:
        return await self.context.disks.ask(project.folder, work)

    async def _view(self, project: Project, last: int) -> p.ChainView:
        look = partial(links.view, project, last, self.context.started_here)
        return await self.context.disks.ask(project.folder, look)
