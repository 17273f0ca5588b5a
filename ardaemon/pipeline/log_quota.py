"""Keeps a project's old logs within `log_quota` of config.toml, and has them go before its disk is full.

With a quota, after each commit the logs of the runs that are over are counted. While a run is under way, and
before one is taken, the disk is looked at: where it is nearly full, old logs go until there is room again. So
they do where the disk has refused something for want of room, whatever it says is free: a user's quota may be
used up. Only then "disk full" is said. With `log_quota = "none"` nothing goes.

An experiment keeps the logs of its best and of its last runs as long as the others give room enough.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.abc

from ardaemon.core.config import FREE_DISK_MIN
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.events import LogsRemoved
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.line import counted
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.model import Best
from ardaemon.core.size import of_bytes
from ardaemon.experiment import old_logs, which_logs
from ardaemon.experiment.locks import Locks
from ardaemon.experiment.which_logs import RunLogs
from ardaemon.host import operations, state
from ardaemon.host.disk import Disks
from ardaemon.pipeline.unrecorded import Unrecorded

LOOK_S = 10.0  # between two looks at a disk, which tells nobody that it fills up; a look takes microseconds
NOTHING_LEFT_S = 120.0  # until a full disk is looked through again where no old log was left
# Of the quota that is free again after it was passed: an eighth, so that not every commit looks at all runs
# (10,000 take a second of CPU time).
SPARE_PART = 8
ROOM = 2 * FREE_DISK_MIN  # bytes that are free again after old logs went: not every run is to ask for more

log = logging.getLogger("ardaemon.run")


Going = list[tuple[Experiment, RunLogs]]


class Found(NamedTuple):
    """What the logs and samples of a project's runs take, in bytes; those that go first, and the rest."""

    taken: int
    first: Going
    last: Going


class LogQuota:
    """Look at projects, with one look at a time for each. `announce` tells what was removed."""

    def __init__(
        self,
        config: LiveConfig,
        locks: Locks,
        disks: Disks,
        background: anyio.abc.TaskGroup,
        announce: Callable[[Experiment, LogsRemoved], None],
    ) -> None:
        self.config, self.locks, self.disks = config, locks, disks
        self.background, self.announce = background, announce
        self._alone = Locks()  # by project
        self._taken: dict[Path, int] = {}  # bytes, as of the last look
        self._futile: dict[Path, float] = {}  # when a look found nothing that could go (time.monotonic)

    def committed(self, experiment: Experiment, run_id: str) -> None:
        """Count the logs of a run that is over, in the background; no verdict waits for it."""
        if self.config.now.quota() is None:
            self._taken.clear()
        else:
            self.background.start_soon(self._count, experiment, run_id)

    async def loop(
        self,
        projects: Callable[[], Iterable[Path]],
        changed: Callable[[], anyio.Event],
        unrecorded: Unrecorded,
    ) -> None:
        """Look at the disks of those projects in which runs are under way, for ever.

        `changed` returns what is set when there may be another. Where the record of a run that has ended
        found no room, and no old log is left to go, that run is blocked.
        """
        while True:
            while not (under_way := set(projects())):
                await changed().wait()
            for project in under_way:
                if not self._is_futile(project):
                    await self.make_room(project)
            for project in unrecorded.projects():
                if not await self._after_refusal(project):
                    unrecorded.block(project)
            await anyio.sleep(LOOK_S)

    def _is_futile(self, project: Path) -> bool:
        return time.monotonic() - self._futile.get(project, -NOTHING_LEFT_S) < NOTHING_LEFT_S

    async def refused(self, project: Path, error: Exception) -> tuple[str, ...]:
        """Remove old logs if the error says that their disk had no room for something; say what went.

        The caller holds no experiment's lock.
        """
        cause = error.__cause__ if isinstance(error, ArdaemonError) else error
        if not isinstance(cause, OSError) or cause.errno not in operations.FULL:
            return ()
        path = error.data.get("path") if isinstance(error, ArdaemonError) else cause.filename
        with _logged(project):
            if path is not None and await self.disks.ask(project, partial(_helps, project, str(path))):
                return await self._after_refusal(project)
        return ()

    async def _after_refusal(self, project: Path) -> tuple[str, ...]:
        if self.config.now.logs_stay or self._is_futile(project):
            return ()
        with _logged(project):
            return await self._make_room(project, ROOM, 1, "for the disk had no room for a run's record")
        return ()

    async def make_room(self, project: Path) -> tuple[str, ...]:
        """Remove old logs where the disk is nearly full; say what went, in a line for a person.

        What stands in the way is logged: whoever needs the disk says it better.
        """
        if self.config.now.logs_stay:
            return ()
        with _logged(project):
            free = await self.disks.ask(project, partial(_free, project))
            if free < FREE_DISK_MIN:
                why = f"for only {of_bytes(free)} of the disk were free"
                return await self._make_room(project, ROOM - free, FREE_DISK_MIN - free, why)
        return ()

    async def _make_room(self, project: Path, wanted: int, least: int, why: str) -> tuple[str, ...]:
        """Remove the oldest logs that together take `wanted` bytes; the last ones only for the `least`."""
        async with self._alone.of(project):
            found = await self.disks.do(project, partial(_look, project))
            by = f"{self._by}, {why}"
            going = _oldest(found.first, wanted)
            freed = sum(one.size for _, one in going)
            gone = await self._remove([*going, *_oldest(found.last, least - freed)], by)
        if not gone:
            self._futile[project] = time.monotonic()
            return ()
        size = of_bytes(sum(one.size for one in gone))
        runs = counted(len(gone), "run")
        return (f"old logs of {runs} ({size}) were removed by {by}{self._way_out}",)

    async def _count(self, experiment: Experiment, run_id: str) -> None:
        project, quota = experiment.project, self.config.now.quota()
        self._futile.pop(project, None)
        with _logged(project):
            async with self._alone.of(project):
                taken = self._taken.get(project)
                if taken is not None:
                    run = experiment.run(run_id)
                    taken += (await self.disks.ask(project, partial(old_logs.of_run, run))).size
                    self._taken[project] = taken
                if quota is not None and (taken is None or taken > quota):
                    await self._keep_within(project, quota)

    async def _keep_within(self, project: Path, quota: int) -> None:
        found = await self.disks.do(project, partial(_look, project))
        too_much = found.taken - quota
        wanted = too_much + quota // SPARE_PART if too_much > 0 else 0
        gone = await self._remove(_oldest(found.first, wanted), self._by)
        self._taken[project] = found.taken - sum(one.size for one in gone)

    @property
    def _by(self) -> str:
        quota = self.config.now.log_quota
        return "the daemon" if quota is None else f"log_quota = {quota}"

    @property
    def _way_out(self) -> str:
        asked = self.config.now.log_quota is not None
        return "" if asked else '; log_quota = "none" in config.toml keeps them'

    async def _remove(self, going: Going, by: str) -> list[RunLogs]:
        """Remove these, each alone with its experiment; return those that went."""
        gone = []
        for experiment in {experiment.folder: experiment for experiment, _ in going}.values():
            mine = [one for its, one in going if its.folder == experiment.folder]
            async with self.locks.of(experiment.folder):
                work = partial(old_logs.remove, mine, by, samples=True)
                done = await self.disks.do(experiment.project, work)
            gone += done
            if done:
                size = sum(one.size for one in done)
                self.announce(experiment, LogsRemoved(runs=len(done), size=size, by=by))
        return gone


class _logged:
    """Log what the disk or another daemon refuses in the block, and go on after it."""

    def __init__(self, project: Path) -> None:
        self.project = project

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if isinstance(error, (ArdaemonError, OSError)):
            facts = {"project": str(self.project), "why": str(error)}
            log.warning("logs not looked at", extra={"facts": facts})
            return True
        return False


def _free(project: Path) -> int:
    space = os.statvfs(Project(project).home)
    return space.f_bavail * space.f_frsize


def _helps(project: Path, refused: str) -> bool:
    """Tell whether `refused` lies on the disk of the logs, and wants of that what a log takes.

    A disk without inodes has no use for blocks: a line stands in the place of each log that goes.
    """
    home = Project(project).home
    space = os.statvfs(home)
    if space.f_files and not space.f_favail:
        return False
    return os.stat(os.path.dirname(refused)).st_dev == os.stat(home).st_dev


def _look(project: Path) -> Found:
    """Look at all runs of a project that are over; an experiment that cannot be read keeps its logs."""
    taken = 0
    first: Going = []
    last: Going = []
    for experiment in Project(project).experiments():
        try:
            runs, best = old_logs.committed(experiment), state.read(experiment.best, Best)
        except ArdaemonError:
            continue
        archived = old_logs.archived(experiment)
        best_id = None if best is None else best.run_id
        taken += sum(one.size for one in (*runs, *archived))
        first += [(experiment, one) for one in (*archived, *which_logs.first_to_go(runs, best_id))]
        last += [(experiment, one) for one in which_logs.last_to_go(runs, best_id)]
    return Found(taken, first, last)


def _oldest(going: Going, wanted: int) -> Going:
    """Return the oldest of these, until together they take `wanted` bytes."""
    oldest = {one.run for one in which_logs.until_freed((one for _, one in going), wanted)}
    return [(experiment, one) for experiment, one in going if one.run in oldest]
