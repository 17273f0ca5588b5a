"""Give projects back in which nothing is under way any more, so that another daemon may have them.

A daemon that waits for one asks for it by a file, and gets it as soon as nothing is under way there. What
is under way for idle places alone is ended for that, as it is for a run. Until then the leases are renewed,
by which other machines see that this daemon lives.
"""

import logging
import math
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from ardaemon.core import project_owner
from ardaemon.core.errors import ArdaemonError
from ardaemon.experiment.ownership import Ownership
from ardaemon.handlers.context import Context
from ardaemon.host.disk import Disks

REST_S = 1.0  # after a change: the next step of the same run comes sooner
# Between two looks at whether another daemon asks for a project that rests, or in which only idle places are
# used. A look takes microseconds, and there is an end to both; on a network disk no event would tell.
WANTED_S = 0.5

log = logging.getLogger("ardaemon.owner")


class LettingGo:
    """Look at the projects that this daemon owns, after each change and when one is due."""

    def __init__(
        self,
        ownership: Ownership,
        disks: Disks,
        context: Context,
        keep_checkpoints: Callable[[], Awaitable[None]],
    ) -> None:
        """Look at nothing yet. `keep_checkpoints` has the next owner leave those that audits here need."""
        self.ownership, self.disks, self.context = ownership, disks, context
        self.keep_checkpoints = keep_checkpoints
        self._silent: set[Path] = set()  # projects whose disks have not answered as this daemon ended

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
                await self._let_go(project)
            elif idle >= REST_S:
                if await self.disks.ask(project, lambda: self.ownership.rest(project)):
                    await self._let_go(project)
                return min(project_owner.LET_GO_S - idle, WANTED_S)
            elif idle > 0:
                return REST_S - idle
            elif self.ownership.is_measuring(project):
                if await self.disks.ask(project, lambda: self.ownership.rest(project)):
                    self._give_way(project)
                return WANTED_S
        except (ArdaemonError, OSError) as error:
            _warn(project, error)
        return min(project_owner.LET_GO_S, project_owner.RENEW_S)

    async def _let_go(self, project: Path) -> None:
        await self.keep_checkpoints()
        await self.context.let_go(project)

    def _give_way(self, project: Path) -> None:
        """End what was begun for idle places; a run that was submitted since keeps the project."""
        if self.ownership.only_idle(project):
            self.context.idler.hand_over(project)

    async def now(self) -> None:
        """Give back what has no run, for this daemon ends; a disk that does not answer holds up no other."""
        async with anyio.create_task_group() as tasks:
            for project in self.ownership.owned():
                tasks.start_soon(self._given_back, project)

    async def _given_back(self, project: Path) -> None:
        self._silent.add(project)
        try:
            await self.context.let_go(project)
        except (ArdaemonError, OSError) as error:
            _warn(project, error)
        self._silent.discard(project)  # and not where the wait for it was given up

    def last(self) -> None:
        """Give back what was still written to then, once no thread is left that writes.

        A verdict is told before the line in facts.jsonl that follows it is written. A project that was kept
        for that, or taken again, would read as one in which this daemon has left runs.
        """
        for project in set(self.ownership.owned()) - self._silent:
            try:
                self.ownership.let_go(project)
            except (ArdaemonError, OSError) as error:
                _warn(project, error)


def _warn(project: Path, error: Exception) -> None:
    log.warning("not let go", extra={"facts": {"project": str(project), "why": str(error)}})
