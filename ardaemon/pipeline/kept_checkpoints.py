"""Keeps the checkpoints of the next audits from the daemons that may have their projects meanwhile."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from ardaemon.checkpoints import kept
from ardaemon.checkpoints.kept import Kept
from ardaemon.core.errors import StorageError
from ardaemon.core.layout import Experiment
from ardaemon.host.disk import Disks

# The names of the next audits' entries, and their checkpoints.
NextAudits = Callable[[], list[tuple[str, str]]]


class KeptCheckpoints:
    """Hold a lock on each of these checkpoints until its audit is over, or this daemon ends."""

    def __init__(self, next_audits: NextAudits, disks: Disks) -> None:
        self.next_audits, self.disks = next_audits, disks
        self._locks: dict[str, Kept] = {}  # by the names of the audits' entries

    async def keep(self) -> None:
        """Lock those that are not locked yet; one whose disk does not answer is passed over."""
        for name, checkpoint in self.next_audits():
            if name not in self._locks:
                project = Experiment(Path(checkpoint).parents[1]).project
                with suppress(StorageError):
                    self._add(name, await self.disks.ask(project, partial(kept.keep, checkpoint)))

    def _add(self, name: str, lock: Kept | None) -> None:
        """Take the lock, unless somebody else has locked the same meanwhile, or the audit is over by now."""
        if lock is None:
            return
        if name in self._locks or name not in dict(self.next_audits()):
            lock.close()
        else:
            self._locks[name] = lock

    def release(self, name: str) -> None:
        """Let the checkpoint go whose audit is over."""
        lock = self._locks.pop(name, None)
        if lock is not None:
            lock.close()
