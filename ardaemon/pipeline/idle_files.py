"""What idle places are used for, read from an experiment's files and written there, in threads."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ardaemon.core.layout import Experiment
from ardaemon.experiment.locks import Locks
from ardaemon.experiment.started_here import StartedHere
from ardaemon.host.disk import Disks
from ardaemon.pipeline import idle, measures
from ardaemon.pipeline.idle import Like, Plan
from ardaemon.pipeline.measures import LATER, LaidOut, OneMore


class IdleFiles:
    """Plan launches for idle places, and lay them out; `entries` is the folder of the active entries."""

    def __init__(
        self,
        locks: Locks,
        disks: Disks,
        entries: Path,
        started_here: StartedHere,
        key: bytes,
        next_seq: Callable[[], int],
    ) -> None:
        """Take what it works with; `key` makes the fingerprint of an environment."""
        self.locks, self.disks, self.entries = locks, disks, entries
        self.started_here, self.key, self.next_seq = started_here, key, next_seq

    async def plan(self, experiment: Experiment, like: Like) -> Plan | None:
        """Return what idle places are to be used for; None: for nothing."""
        work = partial(idle.plan, experiment, like, self.started_here, self.key, self.entries)
        return await self.disks.ask(experiment.project, work)

    async def lay_out(
        self, experiment: Experiment, like: Like, launch: OneMore, still: Callable[[], bool]
    ) -> LaidOut | None:
        """Put a launch on disk, alone with the experiment; None if it is not wanted any more, or was made.

        It is planned once more: since the plan was made, the project may have been another daemon's.
        """
        async with self.locks.of(experiment.folder):
            if not still():
                return None
            work = partial(self._laid_out, experiment, like, launch, self.next_seq())
            return await self.disks.do(experiment.project, work)

    def _laid_out(self, experiment: Experiment, like: Like, launch: OneMore, seq: int) -> LaidOut | None:
        now = idle.plan(experiment, like, self.started_here, self.key, self.entries)
        if now is None or not any(_is_same(launch, one) for one in now.launches):
            return None
        return measures.lay_out(experiment, launch, self.entries, seq, self.started_here.records, LATER)


def _is_same(one: OneMore, other: OneMore) -> bool:
    return (one.of, one.sha256, one.seed, one.time) == (other.of, other.sha256, other.seed, other.time)
