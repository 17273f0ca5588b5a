"""Keep facts.jsonl (experiment/facts.py) up with results.tsv, in the background: no verdict waits for it.

One loop makes every line: after a commit, for an experiment of an earlier version, and for what was lost with
a killed daemon. It goes on as long as a row of results.tsv has no line.
"""

import logging
from functools import partial

import anyio
import anyio.abc

from ardaemon.core.layout import Experiment
from ardaemon.experiment import facts
from ardaemon.experiment.facts import Material, Position
from ardaemon.experiment.locks import Locks
from ardaemon.host.disk import Disks
from ardaemon.source.reader import Edit, Reader

AT_ONCE = 8  # runs whose files are in memory, each with two versions of train.py
# Tries in a row, each after twice the pause of the last (2 minutes in all); then the next commit or report
# tries again.
REFUSED_MAX, REFUSED_S = 8, 0.5

log = logging.getLogger("ardaemon.run")


class FactsKeeper:
    """Follows the ledgers of all experiments, with at most one task for each."""

    def __init__(self, locks: Locks, disks: Disks, reader: Reader, background: anyio.abc.TaskGroup) -> None:
        self.locks, self.disks, self.reader, self.background = locks, disks, reader, background
        self._following: dict[str, anyio.Event] = {}  # by experiment's folder; set once it has caught up
        self._woken: set[str] = set()  # experiments that may have a new row

    def wake(self, experiment: Experiment) -> anyio.Event:
        """Follow the ledger until every row has its line; the event is set then, or when it was given up."""
        key = str(experiment.folder)
        self._woken.add(key)
        if key not in self._following:
            self._following[key] = anyio.Event()
            self.background.start_soon(self._follow, experiment)
        return self._following[key]

    async def settle(self, experiment: Experiment, seconds: float) -> None:
        """Wait at most so many seconds for the lines that are being written, if any are."""
        following = self._following.get(str(experiment.folder))
        if following is not None:
            with anyio.move_on_after(seconds):
                await following.wait()

    async def caught_up(self, experiment: Experiment, seconds: float) -> int:
        """Wait until every committed run has its line; return how many have none after so many seconds.

        Raises CorruptState at once where no plain file stands in its place: only a person mends that.
        """
        await self.disks.ask(experiment.project, partial(facts.position, experiment))
        with anyio.move_on_after(seconds):
            await self.wake(experiment).wait()
        return await self.disks.ask(experiment.project, partial(facts.missing, experiment))

    async def _follow(self, experiment: Experiment) -> None:
        key = str(experiment.folder)
        try:
            refused = 0
            while key in self._woken and refused < REFUSED_MAX:
                self._woken.discard(key)
                try:
                    await self._catch_up(experiment)
                    refused = 0
                except Exception as error:  # facts are only a view: the daemon and its runs go on
                    why = {"expr": experiment.slug, "why": f"{type(error).__name__}: {error}"}
                    log.warning("facts not kept", extra={"facts": why})
                    self._woken.add(key)
                    await anyio.sleep(REFUSED_S * 2**refused)
                    refused += 1
        finally:
            self._following.pop(key).set()

    async def _catch_up(self, experiment: Experiment) -> None:
        """Write line after line until no row is left."""
        at = await self.disks.ask(experiment.project, partial(facts.position, experiment))
        while True:
            work = partial(facts.materials, experiment, at, AT_ONCE)
            batch = await self.disks.ask(experiment.project, work)
            if not batch:
                return
            for material in batch:
                written = await self._written(experiment, at, material)
                if written is None:  # `--resume fresh`, or a repair, came in between
                    at = await self.disks.ask(experiment.project, partial(facts.position, experiment))
                    break
                at = written

    async def _written(self, experiment: Experiment, at: Position, material: Material) -> Position | None:
        line = facts.derived(material, await self._edit(material))
        async with self.locks.of(experiment.folder):
            work = partial(facts.append, experiment, at, material, line)
            return await self.disks.do(experiment.project, work)

    async def _edit(self, material: Material) -> Edit | None:
        if material.after is None:
            return None
        return await self.reader.edit(material.before, material.after)
