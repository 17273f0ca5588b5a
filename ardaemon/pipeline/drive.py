"""Drive a flight through its stages: launch, watch, extract, judge, commit.

The same loop serves a new run and one that a restarted daemon finds: it goes on from whatever
state the run is in. Deciding and applying are serialised per experiment by `Locks`.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.abc
import anyio.from_thread
import anyio.to_thread
from msgspec.structs import replace

from ardaemon.core.config import ATTEMPTS_MAX, Config
from ardaemon.core.errors import (
    ArdaemonError,
    CorruptState,
    InternalError,
    SessionNotLive,
    StorageError,
    Unclean,
)
from ardaemon.core.measured import Measured
from ardaemon.core.model import Again, Ending, Exit, Handle, Judged, Quarantine, Queued, Result
from ardaemon.core.size import shown
from ardaemon.engines.base import Engine, Finished, Lost, NeverStarted, Running, Unsupervised
from ardaemon.host.lease import Lease, Taken
from ardaemon.pipeline import again, commit, extract, launch, quarantine
from ardaemon.pipeline.experiment import State, load_or_repair
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.live import keep_latest
from ardaemon.pipeline.order import prepare, seal_faults
from ardaemon.pipeline.promote import nobody

T = TypeVar("T")
log = logging.getLogger("ardaemon.run")

# What the disk refuses is tried again: there is no event for "space is back".
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 60.0
MIB = 1 << 20
MEASURED_AFTER_S = 1.0  # a run that ends sooner tells its memory by rusage
# A shim that was given an attempt starts it or dies within milliseconds; a lock's release is no event.
HANDED_OVER_POLL_S = 0.02


class Dropped(Exception):
    """The flight's folder is gone for good: its drive ends."""


def _ending(flight: Flight) -> Ending | None:
    """What the daemon found it to take too much of, where that is why it was ended."""
    match flight.active.wanted:
        case "vram_limit" | "rss_limit" as limit:
            return limit
    return None


class Locks:
    """One lock per experiment, for everything that changes its files."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    def of(self, folder: Path) -> anyio.Lock:
        """The lock of that experiment's folder."""
        lock = self._locks.get(str(folder))
        if lock is None:
            lock = self._locks[str(folder)] = anyio.Lock()
        return lock


class Listener(Protocol):
    """Who is told what happens to a flight."""

    def told(self, flight: Flight, event: str, **facts: object) -> None:
        """An event of that flight."""
        ...

    def quarantined(self, slot: str, why: str) -> None:
        """Nothing may be put there until it is lifted."""
        ...

    def told_of(self, folder: Path) -> frozenset[str]:
        """The runs of that experiment whose verdict somebody has waited for."""
        ...

    def in_use(self) -> frozenset[str]:
        """The promoted checkpoints that runs under way were launched with."""
        ...


class Machine(Protocol):
    """What this machine does for a run, beside the engine: its GPUs, and measuring it."""

    def lease(self, flight: Flight) -> Lease | Taken:
        """Its GPUs, against the daemons of other users; called in a thread."""
        ...

    def refused(self, flight: Flight, taken: Taken) -> None:
        """Somebody else was faster."""
        ...

    def found(self, flight: Flight) -> None:
        """It is at work on its GPUs."""
        ...

    def begin(self, flight: Flight) -> None:
        """It runs: measure it."""
        ...

    async def end(self, flight: Flight) -> Measured | None:
        """What was measured; raises ArdaemonError where trying again can help."""
        ...


class Driver:
    """Takes flights to their commit."""

    def __init__(
        self,
        engine: Engine,
        config: Config,
        locks: Locks,
        listener: Listener,
        background: anyio.abc.TaskGroup,
        quarantine: Path,
        machine: Machine,
    ) -> None:
        self.machine = machine
        self.engine, self.config, self.locks = engine, config, locks
        self.listener, self.background, self.quarantine = listener, background, quarantine
        self.unapplied: dict[str, Flight] = {}  # by experiment: judged, and not applied yet

    def forget(self, flight: Flight) -> None:
        """It is given up: nobody waits for its decision to be applied."""
        if self.unapplied.get(str(flight.experiment.folder)) is flight:
            del self.unapplied[str(flight.experiment.folder)]

    async def drive(self, flight: Flight) -> None:
        """Go on until the run is committed, or is back in the queue."""
        while flight.state != "committed":
            match flight.state:
                case "queued":
                    await self._launch(flight)
                case "launching" | "running":
                    await self._watch(flight)
                case "exited":
                    await self._judge(flight)
                case "judged":
                    await self._commit(flight)
            if flight.state == "queued" and flight.active.wanted == "run":
                return

    # --- launch ---

    async def _launch(self, flight: Flight) -> None:
        if flight.active.wanted != "run":
            flight.exit = Exit(ending=_ending(flight) or "cancelled")
            flight.step("cancelled")
            return
        lease = await self._leased(flight)
        if lease is None:
            return
        try:
            await self._launch_on(flight, tuple(lease.fds))
        finally:
            lease.close()

    async def _leased(self, flight: Flight) -> Lease | None:
        """Its GPUs; None where another user's daemon was faster."""
        if not flight.need.gpus:
            return Lease()
        found = await anyio.to_thread.run_sync(self.machine.lease, flight)
        if isinstance(found, Lease):
            return found
        self.machine.refused(flight, found)
        return None

    async def _launch_on(self, flight: Flight, leases: tuple[int, ...]) -> None:
        try:
            async with self.locks.of(flight.experiment.folder):  # another run of it may be committed now
                order = await anyio.to_thread.run_sync(prepare, flight, self.engine, self.config)
        except (Unclean, SessionNotLive):
            flight.held = True
            flight.wake()
            return
        except (ArdaemonError, OSError) as error:  # the slot goes to another run meanwhile
            self._set_aside(flight, error)
            return
        if isinstance(order, Exit):
            flight.exit = order
            flight.step("launch")
            flight.step("ended")
            return
        flight.handle = order.handle
        flight.step("launch")
        self.machine.found(flight)
        started = await self.engine.start(replace(order, leases=leases) if leases else order)
        if started is not None and started.error is None:
            flight.failures = 0
            self._started(flight, started.pid, started.monotonic)

    def _started(self, flight: Flight, pid: int | None, monotonic: float | None) -> None:
        flight.pid, flight.started = pid, monotonic
        flight.step("started")
        ms = None
        if flight.received is not None and monotonic is not None:
            ms = round((monotonic - flight.received) * 1000, 2)
        self.listener.told(flight, "started", pid=pid, attempt=flight.attempts, to_exec_ms=ms)
        flight.watching = anyio.CancelScope()
        self.background.start_soon(self._live, flight, flight.watching)
        self.background.start_soon(self._measure, flight, flight.watching)

    async def _measure(self, flight: Flight, scope: anyio.CancelScope) -> None:
        """A GPU run is measured from its first moment on, others once they are worth it."""
        if not flight.need.gpus:
            await anyio.sleep(MEASURED_AFTER_S)
        if scope.cancel_called:
            return
        try:
            self.machine.begin(flight)
        except (
            ArdaemonError,
            OSError,
        ) as error:  # its folder is away: it goes on, and nothing is known of it
            self.listener.told(flight, "not measured", why=str(error))

    async def _live(self, flight: Flight, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await keep_latest(flight)
            except Exception as error:  # only a view: it may end, the daemon and the run go on
                self.listener.told(flight, "not followed", why=str(error))

    # --- watch ---

    async def _watch(self, flight: Flight) -> None:
        assert flight.handle is not None
        found = await self._ended(flight, flight.handle)
        if flight.watching is not None:
            flight.watching.cancel()  # not waited for: the watcher looks up only every STEP_MS
        match found:
            case NeverStarted() if flight.state == "launching":
                self._never_started(flight)
                return
            case NeverStarted():
                flight.exit = Exit(ending="lost")
            case Lost() if flight.active.wanted != "run":
                ending = _ending(flight) or "stopped"
                flight.exit = Exit(ending=ending, started_at=flight.record.submitted_at)
            case Lost(ending=ending):
                flight.exit = Exit(ending=ending, started_at=flight.record.submitted_at)
            case Finished(restarted=True) if not extract.of_log(flight.record.settings):
                flight.exit = Exit(ending="host_restart", started_at=flight.record.submitted_at)
            case Finished(exit=end, ended_monotonic=ended, restarted=restarted):
                flight.exit, flight.restarted = end, restarted
                flight.ended = None if restarted else ended  # another boot has another clock
                if end.ending == "stopped":
                    flight.exit = replace(end, ending=_ending(flight) or "stopped")
        self.listener.told(flight, "ended", ending=flight.exit.ending, seconds=flight.exit.seconds)
        flight.step("ended")  # at once: its place is free, and its experiment waits for the verdict

    async def _measured(self, flight: Flight) -> None:
        """What was measured is on disk before anything is decided by it."""
        pause = RETRY_FIRST_S
        while True:
            try:
                flight.measured = await self.machine.end(flight)
            except StorageError as error:
                pause = await self._pause(flight, error, pause)
                continue
            except ArdaemonError as error:  # broken by a hand: as if it had never been
                self.listener.told(flight, "not measured", why=str(error))
            flight.blocked = None
            break
        limit = flight.measured.limit if flight.measured is not None else None
        if limit is not None and flight.exit is not None and _ending(flight) is not None:
            flight.exit = replace(flight.exit, error=limit)

    def _never_started(self, flight: Flight) -> None:
        """Back to the queue; after a failure of ours it waits, longer each time."""
        flight.record = replace(flight.record, state=Queued(flight.attempts - 1, flight.again))
        flight.step("never_started")
        if flight.failures > 0:
            why = InternalError("its shim could not be started", "see: arctl daemon logs")
            self._set_aside(flight, why)
        else:
            flight.failures = 1

    async def _ended(self, flight: Flight, handle: Handle) -> Finished | Lost | NeverStarted:
        """Wait for the end; while the folder is away nobody can tell how it ended."""
        pause = RETRY_FIRST_S
        while True:
            try:
                if flight.active.wanted != "run":
                    self.engine.stop(handle)
                if flight.state == "launching":
                    await self._find_again(flight, handle)
                found = await self.engine.ended(handle)
                flight.blocked = None
                return found
            except (ArdaemonError, OSError) as error:
                pause = await self._pause(flight, error, pause)

    async def _find_again(self, flight: Flight, handle: Handle) -> None:
        """Is it running, though nobody said so? Then everybody who asks shall see it."""
        while True:
            match self.engine.probe(handle):
                case Running(shim=shim, job=job, monotonic=monotonic) if shim is not None:
                    return self._started(flight, job.pid if job else None, monotonic)
                case Unsupervised(processes=processes, deadline=deadline) if (
                    processes or deadline is not None
                ):
                    return self._started(flight, processes[0].pid if processes else None, None)
                case Running() | Unsupervised():  # a lock is held, and nothing is written yet, or ever
                    await anyio.sleep(HANDED_OVER_POLL_S)
                case _:
                    return None

    # --- judge and commit ---

    async def _judge(self, flight: Flight) -> None:
        assert flight.exit is not None
        if flight.handle is not None:
            await self._measured(flight)
        found = await self._alone_with(flight, lambda: load_or_repair(flight.experiment))
        ended = await self._insist(flight, lambda: self._evidence(flight, found))
        if (why := self._again(flight, ended)) is not None:
            await self._queue_again(flight, why)
            return
        folder = flight.experiment.folder
        pause = RETRY_FIRST_S
        while flight.state == "exited":
            await self._none_unapplied(flight)
            async with self.locks.of(folder):
                if str(folder) in self.unapplied:
                    continue
                try:
                    flight.record = await anyio.to_thread.run_sync(commit.decide, ended)
                except (ArdaemonError, OSError) as error:
                    blocked = error
                else:
                    self.unapplied[str(folder)] = flight
                    flight.step("judge")
                    await self._apply(flight)
                    return
            pause = await self._pause(flight, blocked, pause)

    def _again(self, flight: Flight, ended: commit.Ended) -> Again | None:
        """Why it is to be launched once more; never after its end was asked for, or its session's."""
        over = flight.active.wanted != "run" or flight.held or flight.attempts >= ATTEMPTS_MAX
        if over or ended.seal_faults or flight.restarted:
            return None
        facts = again.Facts(
            exit=ended.exit,
            reason=ended.extracted.reason,
            tainted=ended.tainted,
            sick=flight.sick,
            shared=flight.shares,
            before=flight.again,
        )
        return again.wanted(facts, flight.record.settings)

    async def _queue_again(self, flight: Flight, why: Again) -> None:
        before, attempts = (*flight.again, why), flight.attempts
        flight.record = await self._insist(
            flight, lambda: again.queue_again(flight.run, flight.record, attempts, before)
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

    async def _commit(self, flight: Flight) -> None:
        """Stage two again, the lock free between two tries, so that a person can mend."""
        pause = RETRY_FIRST_S
        self.unapplied[str(flight.experiment.folder)] = flight
        while flight.state == "judged":
            async with self.locks.of(flight.experiment.folder):
                error = await self._apply(flight)
            if error is not None:
                pause = await self._pause(flight, error, pause)

    def _evidence(self, flight: Flight, found: State) -> commit.Ended:
        """In a thread: the metrics, the reason, and the seal once more."""
        assert flight.exit is not None
        faults = flight.seal_faults or seal_faults(flight, found)
        attempt = max(flight.attempts, 1)
        environment = launch.environment_of(
            flight.active.environment, flight.record.settings, flight.experiment, flight.run, attempt
        )
        extracted = extract.extract(
            flight.experiment,
            flight.run,
            flight.record,
            found.contract,
            environment,
            attempt,
            flight.exit,
            flight.restarted,
        )
        # What the log does not say may stand in files that the restart has torn.
        end = replace(flight.exit, ending="host_restart") if extracted.silent else flight.exit
        return commit.Ended(
            experiment=flight.experiment,
            run=flight.run,
            record=flight.record,
            exit=end,
            attempts=flight.attempts,
            extracted=extracted,
            seal_faults=faults,
            manual=flight.active.wanted == "stop",
            boot_id=flight.handle.boot_id if flight.handle else "",
            slots=flight.slots,
            restarted=flight.restarted,
            measured=flight.measured,
            notes=flight.notes,
            sick=flight.sick,
        )

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
        commit.finish(flight.run, flight.entry)
        return result

    def _apply_once(self, flight: Flight, told: frozenset[str]) -> Result:
        return commit.apply(flight.experiment, flight.run, flight.record, told, flight.promotion)

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

    async def _alone_with(self, flight: Flight, work: Callable[[], T]) -> T:
        """The same, while nothing else changes the experiment's files: another run of it may be committed."""
        pause = RETRY_FIRST_S
        while True:
            try:
                async with self.locks.of(flight.experiment.folder):
                    return await anyio.to_thread.run_sync(work)
            except (ArdaemonError, OSError) as error:
                pause = await self._pause(flight, error, pause)

    async def _insist(self, flight: Flight, work: Callable[[], T]) -> T:
        """Do it in a thread, again and again while the disk refuses: a result is never dropped."""
        pause = RETRY_FIRST_S
        while True:
            try:
                done = await anyio.to_thread.run_sync(work)
            except (ArdaemonError, OSError) as error:
                pause = await self._pause(flight, error, pause)
                continue
            if flight.blocked is not None:
                flight.blocked = None
                flight.wake()
            return done

    async def _pause(self, flight: Flight, error: Exception, pause: float) -> float:
        """Say what is in the way, wait (or be nudged), and return the next, longer wait."""
        self._block(flight, error, pause)
        with anyio.move_on_after(pause):
            await flight.nudged.wait()
        if flight.dropped:
            raise Dropped from error
        return min(pause * 2, RETRY_MOST_S)

    def _set_aside(self, flight: Flight, error: Exception) -> None:
        """It stays in the queue, and others go first, until it is tried again: later each time."""
        pause = min(RETRY_FIRST_S * 2 ** min(flight.failures, 6), RETRY_MOST_S)
        flight.failures += 1
        self._block(flight, error, pause)
        self.background.start_soon(self._unblock, flight, pause)

    def _block(self, flight: Flight, error: Exception, pause: float) -> None:
        mend = getattr(error, "mend", "")
        flight.blocked = f"{error} ({mend})" if mend else str(error)
        self.listener.told(flight, "blocked", why=flight.blocked, retry_s=pause)
        flight.wake()

    async def _unblock(self, flight: Flight, pause: float) -> None:
        with anyio.move_on_after(pause):
            await flight.nudged.wait()
        flight.blocked = None
        flight.wake()
        self.listener.told(flight, "unblocked")
