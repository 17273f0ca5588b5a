"""Watch: from the first sign of the job to its end, and what was measured meanwhile."""

from collections.abc import Callable

import anyio
import anyio.abc
from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError, InternalError, StorageError
from ardaemon.core.events import NotFollowed, NotMeasured, RunEnded, RunStarted
from ardaemon.core.model import Ending, Exit, Limit
from ardaemon.core.run_record import Handle
from ardaemon.engines.base import Engine, Finished, FolderAway, Lost, NeverStarted, Running, Unsupervised
from ardaemon.pipeline import extract
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.live import keep_latest
from ardaemon.pipeline.patience import Patience
from ardaemon.pipeline.ports import Listener, Machine

MEASURED_AFTER_S = 1.0  # a run that ends sooner tells its memory by rusage


def ending_of(flight: Flight) -> Ending | None:
    """Return the limit that the job passed, or that it gave way, where that is why it was ended."""
    match flight.active.wanted:
        case "vram_limit" | "rss_limit" | "nan" as limit:
            return limit
        case "give_way":
            return "gave_way"
    return None


def _exit_of(flight: Flight, end: Finished | Lost | NeverStarted) -> Exit:
    """Return how the run ended, by what the engine found and what was wanted of the run."""
    submitted_at = flight.record.submitted_at
    match end:
        case Lost() | NeverStarted() if flight.active.wanted not in ("run", "judge", "judge_stop"):
            return Exit(ending=ending_of(flight) or "stopped", started_at=submitted_at)
        case NeverStarted():
            return Exit(ending="lost")
        case Lost(ending=ending):
            return Exit(ending=ending, started_at=submitted_at)
        case Finished(restarted=True) if not extract.of_log(flight.record.settings):
            return Exit(ending="host_restart", started_at=submitted_at)
        case Finished(exit=Exit(ending="exited") as exit_) if flight.active.wanted in ("cancel", "stop"):
            return replace(exit_, ending="stopped")  # the wish was acknowledged before anybody saw the end
        case Finished(exit=Exit(ending="stopped") as stopped):
            return replace(stopped, ending=ending_of(flight) or "stopped")
        case Finished(exit=exit_):
            return exit_


class Watcher:
    """Follow a flight that was launched, by this daemon or by one before it."""

    def __init__(
        self,
        engine: Engine,
        listener: Listener,
        background: anyio.abc.TaskGroup,
        machine: Machine,
        patience: Patience,
        limit: Callable[[Flight, Limit], None],
    ) -> None:
        self.engine, self.listener, self.background = engine, listener, background
        self.machine, self.patience, self.limit = machine, patience, limit

    def started(self, flight: Flight, pid: int | None, monotonic: float | None) -> None:
        """Follow and measure the job from now on: it runs, since that moment of CLOCK_MONOTONIC."""
        assert flight.going is not None, "it was launched"
        going = flight.going
        going.pid, going.started = pid, monotonic
        flight.step("started")
        ms = None
        if flight.received is not None and monotonic is not None:
            ms = round((monotonic - flight.received) * 1000, 2)
        self.listener.tell(flight, RunStarted(pid=pid, attempt=flight.attempts, to_exec_ms=ms))
        self.listener.wake()  # a spare shim is parked while the job runs, not at its end
        going.watching = anyio.CancelScope()
        self.background.start_soon(self._live, flight, going.watching)
        self.background.start_soon(self._measure, flight, going.watching)

    async def _measure(self, flight: Flight, scope: anyio.CancelScope) -> None:
        """Measure a GPU run from its first moment on, others once they are worth it."""
        if not flight.need.gpus:
            await anyio.sleep(MEASURED_AFTER_S)
        if scope.cancel_called:
            return
        try:
            await self.machine.begin(flight)
        except (ArdaemonError, OSError) as error:  # its folder is away: nothing is known of it then
            self.listener.tell(flight, NotMeasured(why=str(error)))

    async def _live(self, flight: Flight, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await keep_latest(
                    flight,
                    lambda why: self.listener.tell(flight, NotFollowed(why=why)),
                    lambda: self.limit(flight, "nan"),
                )
            except Exception as error:  # only a view: it may end, the daemon and the run go on
                self.listener.tell(flight, NotFollowed(why=str(error)))

    async def watch(self, flight: Flight) -> None:
        """Wait for the attempt's end; where nothing was ever started the flight is back in the queue."""
        assert flight.going is not None
        assert flight.going.handle is not None
        self.engine.hold(flight.going.handle, flight.seat)
        end = await self._ended(flight, flight.going.handle)
        if flight.going.watching is not None:
            flight.going.watching.cancel()  # not waited for: the watcher looks up only every STEP_MS
        if isinstance(end, NeverStarted) and flight.state == "launching":
            await self._never_started(flight)
            return
        exit_ = _exit_of(flight, end)
        flight.end_as(exit_)
        if isinstance(end, Finished) and exit_.ending != "host_restart":
            flight.going.restarted, flight.going.boot_id = end.restarted, end.boot_id
            flight.going.ended = None if end.restarted else end.ended_monotonic  # another boot, another clock
        self.listener.tell(flight, RunEnded(ending=exit_.ending, seconds=exit_.seconds))
        if not exit_.survivors and not flight.keeps_place:
            self.listener.release(flight)
        flight.step("ended")  # at once: its place is free, and its experiment waits for the verdict

    async def measured(self, flight: Flight) -> None:
        """Bring what was measured to the disk, before anything is decided by it."""
        pause = None
        while True:
            try:
                measured = await self.machine.end(flight)
            except StorageError as error:
                pause = await self.patience.pause(flight, error, pause)
                continue
            except ArdaemonError as error:  # broken by a hand: as if it had never been
                self.listener.tell(flight, NotMeasured(why=str(error)))
                measured = None
            flight.blocked = None
            break
        assert flight.going is not None
        flight.going.measured = measured
        limit = measured.limit if measured is not None else None
        if limit is not None and flight.exit is not None and ending_of(flight) is not None:
            flight.end_as(replace(flight.exit, error=limit))

    async def _never_started(self, flight: Flight) -> None:
        """Put it back in the queue; after a failure of ours it waits, longer each time."""
        flight.record = flight.taken_back()
        self.listener.release(flight)
        flight.step("never_started")
        if flight.failures > 0:
            why = InternalError("its shim could not be started", "see: arctl daemon logs")
            await self.patience.set_aside(flight, why)
        else:
            flight.failures = 1

    async def _ended(self, flight: Flight, handle: Handle) -> Finished | Lost | NeverStarted:
        """Wait for the end; while the folder is away nobody can tell how it ended."""
        pause = None
        while True:
            try:
                if flight.state == "launching":
                    await self._find_again(flight, handle)
                if flight.active.wanted != "run" or flight.dropped:  # after that: it may be wanted meanwhile
                    await self.engine.stop(handle)
                end = await self.engine.ended(handle)
                flight.blocked = None
                return end
            except (ArdaemonError, OSError) as error:
                over = isinstance(error, FolderAway)  # nothing of the job lives: others may have its place
                if over:
                    self.listener.release(flight)
                pause = await self.patience.pause(flight, error, pause, alive=not over)

    async def _find_again(self, flight: Flight, handle: Handle) -> None:
        """Note that the job runs, where the engine finds it at work: then everybody who asks shall see it."""
        match await self.engine.begun(handle):
            case Running(job=job, monotonic=monotonic):
                self.started(flight, job.pid if job else None, monotonic)
            case Unsupervised(processes=processes):
                self.started(flight, processes[0].pid if processes else None, None)
