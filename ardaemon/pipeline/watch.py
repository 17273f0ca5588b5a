"""Watch: from the first sign of the job to its end, and what was measured meanwhile."""

import anyio
import anyio.abc
from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError, InternalError, StorageError
from ardaemon.core.model import Ending, Exit
from ardaemon.core.run_record import Handle, Queued
from ardaemon.engines.base import Engine, Finished, Lost, NeverStarted, Running, Unsupervised
from ardaemon.pipeline import extract
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.live import keep_latest
from ardaemon.pipeline.patience import Patience
from ardaemon.pipeline.ports import Listener, Machine

MEASURED_AFTER_S = 1.0  # a run that ends sooner tells its memory by rusage
# A shim that was given an attempt starts it or dies within milliseconds; a lock's release is no event.
HANDED_OVER_POLL_S = 0.02


def ending_of(flight: Flight) -> Ending | None:
    """What the daemon found it to take too much of, where that is why it was ended."""
    match flight.active.wanted:
        case "vram_limit" | "rss_limit" as limit:
            return limit
    return None


class Watcher:
    """Follows a flight that was launched, by this daemon or by one before it."""

    def __init__(
        self,
        engine: Engine,
        listener: Listener,
        background: anyio.abc.TaskGroup,
        machine: Machine,
        patience: Patience,
    ) -> None:
        self.engine, self.listener, self.background = engine, listener, background
        self.machine, self.patience = machine, patience

    def started(self, flight: Flight, pid: int | None, monotonic: float | None) -> None:
        """It runs, since that moment of CLOCK_MONOTONIC: from now on it is followed and measured."""
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
        except (ArdaemonError, OSError) as error:  # its folder is away: nothing is known of it then
            self.listener.told(flight, "not measured", why=str(error))

    async def _live(self, flight: Flight, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await keep_latest(flight)
            except Exception as error:  # only a view: it may end, the daemon and the run go on
                self.listener.told(flight, "not followed", why=str(error))

    async def watch(self, flight: Flight) -> None:
        """Wait for its end; where nothing was ever started it is back in the queue."""
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
                ending = ending_of(flight) or "stopped"
                flight.exit = Exit(ending=ending, started_at=flight.record.submitted_at)
            case Lost(ending=ending):
                flight.exit = Exit(ending=ending, started_at=flight.record.submitted_at)
            case Finished(restarted=True) if not extract.of_log(flight.record.settings):
                flight.exit = Exit(ending="host_restart", started_at=flight.record.submitted_at)
            case Finished(exit=end, ended_monotonic=ended, restarted=restarted):
                flight.exit, flight.restarted = end, restarted
                flight.ended = None if restarted else ended  # another boot has another clock
                if end.ending == "stopped":
                    flight.exit = replace(end, ending=ending_of(flight) or "stopped")
        self.listener.told(flight, "ended", ending=flight.exit.ending, seconds=flight.exit.seconds)
        flight.step("ended")  # at once: its place is free, and its experiment waits for the verdict

    async def measured(self, flight: Flight) -> None:
        """What was measured is on disk before anything is decided by it."""
        pause = None
        while True:
            try:
                flight.measured = await self.machine.end(flight)
            except StorageError as error:
                pause = await self.patience.pause(flight, error, pause)
                continue
            except ArdaemonError as error:  # broken by a hand: as if it had never been
                self.listener.told(flight, "not measured", why=str(error))
            flight.blocked = None
            break
        limit = flight.measured.limit if flight.measured is not None else None
        if limit is not None and flight.exit is not None and ending_of(flight) is not None:
            flight.exit = replace(flight.exit, error=limit)

    def _never_started(self, flight: Flight) -> None:
        """Back to the queue; after a failure of ours it waits, longer each time."""
        flight.record = replace(flight.record, state=Queued(flight.attempts - 1, flight.again))
        flight.step("never_started")
        if flight.failures > 0:
            why = InternalError("its shim could not be started", "see: arctl daemon logs")
            self.patience.set_aside(flight, why)
        else:
            flight.failures = 1

    async def _ended(self, flight: Flight, handle: Handle) -> Finished | Lost | NeverStarted:
        """Wait for the end; while the folder is away nobody can tell how it ended."""
        pause = None
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
                pause = await self.patience.pause(flight, error, pause)

    async def _find_again(self, flight: Flight, handle: Handle) -> None:
        """Is it running, though nobody said so? Then everybody who asks shall see it."""
        while True:
            match self.engine.probe(handle):
                case Running(shim=shim, job=job, monotonic=monotonic) if shim is not None:
                    return self.started(flight, job.pid if job else None, monotonic)
                case Unsupervised(processes=processes, deadline=deadline) if (
                    processes or deadline is not None
                ):
                    return self.started(flight, processes[0].pid if processes else None, None)
                case Running() | Unsupervised():  # a lock is held, and nothing is written yet, or ever
                    await anyio.sleep(HANDED_OVER_POLL_S)
                case _:
                    return None
