"""Former bests that a commit had to leave go later: the last run of a night has no successor."""

import logging
from collections.abc import Callable
from functools import partial

import anyio
import anyio.abc

from ardaemon.checkpoints import prune
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment
from ardaemon.experiment.locks import Locks
from ardaemon.host.disk import Disks

# Tries in a row, each after twice the pause of the last. A disk that refuses for so long (4 minutes) is left
# alone; the next commit tries again, and so does the next daemon's first change of the experiment.
REFUSED_MAX = 8

log = logging.getLogger("ardaemon.run")


class Pruner:
    """Prune later, with at most one task for each experiment; `in_use` as in prune()."""

    def __init__(
        self,
        locks: Locks,
        in_use: Callable[[], frozenset[str]],
        background: anyio.abc.TaskGroup,
        disks: Disks,
    ) -> None:
        self.locks, self.in_use, self.background, self.disks = locks, in_use, background, disks
        self._waiting: set[str] = set()

    def later(self, experiment: Experiment, seconds: float) -> None:
        """Prune again in so many seconds, as often as it takes."""
        if str(experiment.folder) not in self._waiting:
            self._waiting.add(str(experiment.folder))
            self.background.start_soon(self._prune, experiment, seconds)

    async def _prune(self, experiment: Experiment, seconds: float) -> None:
        try:
            pause: float | None = seconds
            refused = 0
            while pause is not None and refused < REFUSED_MAX:
                await anyio.sleep(max(pause, prune.REFUSED_S * 2**refused))
                async with self.locks.of(experiment.folder):
                    work = partial(prune.prune, experiment, self.in_use())
                    pause = await self.disks.do(experiment.project, work)
                refused = refused + 1 if pause == prune.REFUSED_S else 0
        except (ArdaemonError, OSError) as error:  # its folder is away, or broken: its next commit says so
            log.warning("not pruned", extra={"facts": {"expr": experiment.slug, "why": str(error)}})
        finally:
            self._waiting.discard(str(experiment.folder))
