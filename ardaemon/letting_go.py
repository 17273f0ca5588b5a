"""Give projects back in which nothing is under way any more, so that another daemon may have them.

A daemon that waits for one asks for it by a file, and gets it as soon as nothing is under way there.
Until then their leases are renewed, by which other machines see that this daemon lives.
"""

import logging
import math
from pathlib import Path

import anyio

from ardaemon.core import project_owner
from ardaemon.core.errors import ArdaemonError
from ardaemon.experiment.ownership import Ownership
from ardaemon.handlers.context import Context
from ardaemon.host.disk import Disks

REST_S = 1.0  # after a change: the next step of the same run comes sooner
# Between two looks at whether another daemon asks for a project that rests. A look takes microseconds, and a
# project rests for a minute at most; on a network disk no event would tell.
WANTED_S = 0.5

log = logging.getLogger("ardaemon.owner")


class LettingGo:
    """Look at the projects that this daemon owns, after each change and when one is due."""

    def __init__(self, ownership: Ownership, disks: Disks, context: Context) -> None:
        self.ownership, self.disks, self.context = ownership, disks, context

    async def loop(self) -> None:
        """Give back what is not used, for ever."""
        while True:
            changed = self.ownership.changed
            pauses = [await self._look(project) for project in self.ownership.owned()]
            with anyio.move_on_after(min(pauses, default=math.inf)):
                await changed.wait()
                await anyio.sleep(REST_S)

    async def _look(self, project: Path) -> float:
        """Do what is due for the project; return after how many seconds to look again."""
        try:
            if self.ownership.unrenewed_s(project) >= project_owner.RENEW_S:
                await self.disks.ask(project, lambda: self.ownership.renew(project))
            idle = self.ownership.idle_s(project)
            if idle >= project_owner.LET_GO_S:
                await self.context.let_go(project)
            elif idle >= REST_S:
                if await self.disks.ask(project, lambda: self.ownership.rest(project)):
                    await self.context.let_go(project)
                return min(project_owner.LET_GO_S - idle, WANTED_S)
            elif idle > 0:
                return REST_S - idle
        except (ArdaemonError, OSError) as error:
            log.warning("not let go", extra={"facts": {"project": str(project), "why": str(error)}})
        return min(project_owner.LET_GO_S, project_owner.RENEW_S)

    async def now(self) -> None:
        """Give back at once what has no run, for this daemon ends."""
        for project in self.ownership.owned():
            await self.context.let_go(project)
