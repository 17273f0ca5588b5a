"""Judge and commit: from the end of a run to its result, or back to the queue.

Deciding and applying are serialised per experiment by `Locks`.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio.from_thread
import anyio.to_thread

from ardaemon.checkpoints.promote import nobody
from ardaemon.core.errors import ArdaemonError, CorruptState
from ardaemon.core.model import Again, Quarantine, Result
from ardaemon.core.run_record import Judged
from ardaemon.core.size import shown
from ardaemon.engines.base import Engine
from ardaemon.experiment.locks import Locks
from ardaemon.experiment.repair import load_or_repair
from ardaemon.host import quarantine
from ardaemon.pipeline import apply, decide
from ardaemon.pipeline.attempts import queue_again
from ardaemon.pipeline.ended import again_why, gather
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.patience import Patience
from ardaemon.pipeline.ports import Listener
from ardaemon.pipeline.pruner import Pruner

MIB = 1 << 20


class Committer:
    """Takes flights that have ended to their commit; `measured` brings what was measured to the disk."""

    def __init__(
        self,
        engine: Engine,
        locks: Locks,
        listener: Listener,
        quarantine: Path,
        measured: Callable[[Flight], Awaitable[None]],
        patience: Patience,
        pruner: Pruner,
    ) -> None:
        self.engine, self.locks, self.listener, self.quarantine = engine, locks, listener, quarantine
        self.measured, self.patience, self.pruner = measured, patience, pruner
        self.unapplied: dict[str, Flight] = {}  # by experiment: judged, and not applied yet

    def forget(self, flight: Flight) -> None:
        """It is given up: nobody waits for its decision to be applied."""
        if self.unapplied.get(str(flight.experiment.folder)) is flight:
            del self.unapplied[str(flight.experiment.folder)]

    async def judge(self, flight: Flight) -> None:
        """Decide, and commit at once; or put it back in the queue, to be made again."""
        assert flight.exit is not None
        if flight.handle is not None:
            await self.measured(flight)
        found = await self.patience.alone_with(flight, lambda: load_or_repair(flight.experiment))
        ended = await self.patience.insist(flight, lambda: gather(flight, found))
        if (why := again_why(flight, ended)) is not None:
            await self._queue_again(flight, why)
            return
        folder = flight.experiment.folder
        pause = None
        while flight.state == "exited":
            await self._none_unapplied(flight)
            async with self.locks.of(folder):
                if str(folder) in self.unapplied:
                    continue
                try:
                    flight.record = await anyio.to_thread.run_sync(decide.decide, ended)
                except (ArdaemonError, OSError) as error:
                    blocked = error
                else:
                    self.unapplied[str(folder)] = flight
                    flight.step("judge")
                    await self._apply(flight)
                    return
            pause = await self.patience.pause(flight, blocked, pause)

    async def _queue_again(self, flight: Flight, why: Again) -> None:
        before, attempts = (*flight.again, why), flight.attempts
        flight.record = await self.patience.insist(
            flight, lambda: queue_again(flight.run, flight.record, attempts, before)
        )
        if flight.handle is not None:
            self.engine.forget(flight.handle)
        flight.forget_attempt()
        self.listener.told(flight, "again", why=why, attempts=attempts)
        flight.step("retry")

    async def _none_unapplied(self, flight: Flight) -> None:
        """A decision that is not applied yet comes first: its counters would overwrite later ones."""
        while (other := self.unapplied.get(str(flight.experiment.folder))) not in (None, flight):
            assert other is not None
            await other.changed.wait()

    async def commit(self, flight: Flight) -> None:
        """Stage two again, the lock free between two tries, so that a person can mend."""
        pause = None
        self.unapplied[str(flight.experiment.folder)] = flight
        while flight.state == "judged":
            async with self.locks.of(flight.experiment.folder):
                error = await self._apply(flight)
            if error is not None:
                pause = await self.patience.pause(flight, error, pause)

    async def _apply(self, flight: Flight) -> ArdaemonError | OSError | None:
        """Stage two, once; what stood in the way, if something did."""
        try:
            await self._keep_slot(flight)
            told = self.listener.told_of(flight.experiment.folder)
            flight.promotion.in_use = self.listener.in_use()
            flight.promotion.told = partial(self._promoting, flight)
            flight.result = await anyio.to_thread.run_sync(self._apply_now, flight, told)
            flight.promotion.told = nobody  # it knows the flight, which must not wait for the collector then
        except (ArdaemonError, OSError) as error:
            return error
        finally:
            flight.promoting = None
        ms = None if flight.ended is None else round((time.monotonic() - flight.ended) * 1000, 2)
        self.unapplied.pop(str(flight.experiment.folder), None)
        if flight.handle is not None:
            self.engine.forget(flight.handle)
        flight.blocked = None
        flight.step("commit")
        if flight.promotion.prune_in_s is not None:
            self.pruner.later(flight.experiment, flight.promotion.prune_in_s)
        self._tell_committed(flight, flight.result, ms)
        return None

    async def _keep_slot(self, flight: Flight) -> None:
        """What survived keeps its slots, on disk before the run is committed: no restart gives one away."""
        assert isinstance(flight.record.state, Judged)
        unclean = flight.record.state.decision.unclean
        if unclean is None:
            return
        for slot in flight.slots:
            record = Quarantine(
                slot=slot,
                folder=str(flight.experiment.folder),
                run_id=unclean.run_id,
                survivors=unclean.survivors,
                boot_id=unclean.boot_id,
                at=unclean.at,
                cgroup=unclean.cgroup,
            )
            await anyio.to_thread.run_sync(quarantine.keep, self.quarantine, record)
            self.listener.quarantined(slot, quarantine.words(record))

    def _promoting(self, flight: Flight, done: int, total: int) -> None:
        """In the thread of the copy: say how far it is. Ends it where the daemon is being stopped."""
        anyio.from_thread.check_cancelled()
        anyio.from_thread.run_sync(self._tell_promoting, flight, done, total)

    def _tell_promoting(self, flight: Flight, done: int, total: int) -> None:
        flight.promoting = f"its checkpoint is copied: {shown(done / MIB)} of {shown(total / MIB)}"
        self.listener.told(flight, "promoting", done=done, total=total)
        flight.wake()

    def _apply_now(self, flight: Flight, told: frozenset[str]) -> Result:
        try:
            result = self._apply_once(flight, told)
        except CorruptState:  # broken by a hand since it was judged
            load_or_repair(flight.experiment)
            result = self._apply_once(flight, told)
        apply.finish(flight.run, flight.entry)
        return result

    def _apply_once(self, flight: Flight, told: frozenset[str]) -> Result:
        return apply.apply(flight.experiment, flight.run, flight.record, told, flight.promotion)

    def _tell_committed(self, flight: Flight, result: Result, ms: float | None) -> None:
        self.listener.told(
            flight,
            "committed",
            status=result.status,
            verdict=result.verdict,
            value=result.primary.value,
            reason=result.reason,
            terminated_by=result.terminated_by,
            to_result_ms=ms,
        )
