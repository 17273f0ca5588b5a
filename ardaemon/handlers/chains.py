"""chain.*: the experiments of a project that follow each other."""

import os
from functools import partial
from pathlib import Path

from ardaemon.core import protocol as p
from ardaemon.core.errors import UsageError
from ardaemon.core.layout import Project
from ardaemon.experiment import chain, choose, links
from ardaemon.handlers.context import Context
from ardaemon.rpc.dispatch import Notify


class Chains:
    """The methods on chains."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def chain_get(self, params: p.ChainGet, _: Notify) -> p.ChainView:
        """Show the chain."""
        return await self._view(await self._project(params.project), params.last)

    async def chain_stop(self, params: p.ChainStop, _: Notify) -> p.ChainView:
        """End the chain; its current experiment goes on."""
        project = await self._project(params.project)
        async with self.context.chain_lock(project.folder):
            await self.context.disks.do(project.folder, partial(chain.stop, project))
        return await self._view(project, 0)

    async def _project(self, folder: str) -> Project:
        """Return the project of that folder. Raises UsageError, and ForeignOwner for another user's."""
        if not os.path.isabs(folder):
            raise UsageError(f"project {folder[:80]!r} is not an absolute path", "")
        look = partial(choose.require_place, Path(folder), self.context.config.trusted)
        await self.context.disks.ask(Path(folder), look)
        return Project(Path(folder))

    async def _view(self, project: Project, last: int) -> p.ChainView:
        look = partial(links.view, project, last, self.context.started_here)
        return await self.context.disks.ask(project.folder, look)
