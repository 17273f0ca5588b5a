"""Drive a flight through its stages: launch, watch, extract, judge, commit.

The same loop serves a new run and one that a restarted daemon finds: it goes on from whatever
state the run is in. Deciding and applying are serialised per experiment by `Locks`.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.abc
import anyio.to_thread
from msgspec.structs import replace

from ardaemon.core.config import ATTEMPTS_MAX, Config
from ardaemon.core.errors import ArdaemonError, Refused
from ardaemon.core.model import Exit, Handle, Launching, Queued, Result
from ardaemon.engines.base import Engine, Finished, Launch, Lost, NeverStarted, Running, Unsupervised
from ardaemon.host import state
from ardaemon.host.follow import appended
from ardaemon.metrics.base import Query
from ardaemon.metrics.log import Follower
from ardaemon.pipeline import commit, contract, launch, train_file
from ardaemon.pipeline.experiment import load, load_or_repair
from ardaemon.pipeline.extract import extract
from ardaemon.pipeline.flight import Flight

T = TypeVar("T")
log = logging.getLogger("ardaemon.run")

# What the disk refuses is tried again: there is no event for "space is back".
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 60.0
# A run that ends sooner needs no live value; a watcher costs a thread.
FOLLOW_AFTER_S = 1.0


class Dropped(Exception):
    """The flight's folder is gone for good: its drive ends."""


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


class Driver:
    """Takes flights to their commit."""

    def __init__(
        self,
        engine: Engine,
        config: Config,
        locks: Locks,
        listener: Listener,
        background: anyio.abc.TaskGroup,
    ) -> None:
        self.engine, self.config, self.locks = engine, config, locks
        self.listener, self.background = listener, background

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
            if flight.state == "queued":
                return

    # --- launch ---

    async def _launch(self, flight: Flight) -> None:
        try:
            order = await anyio.to_thread.run_sync(self._ready, flight)
        except ArdaemonError as error:  # the slot goes to another run meanwhile
            self._block(flight, error, RETRY_MOST_S)
            self.background.start_soon(self._unblock, flight, RETRY_MOST_S)
            return
        if isinstance(order, Exit):
            flight.exit = order
            flight.step("launch")
            flight.step("ended")
            return
        flight.handle = order.handle
        flight.step("launch")
        started = await self.engine.start(order)
        if started is None:
            await anyio.sleep(RETRY_FIRST_S)  # before it is tried again: what failed may fail at once
        elif started.error is None:
            self._started(flight, started.pid, started.monotonic)

    def _ready(self, flight: Flight) -> Launch | Exit:
        """In a thread: check the seal, write the intent down, say what is to be started."""
        experiment, run, record = flight.experiment, flight.run, flight.record
        faults = self._seal_faults(flight)
        if faults:
            return Exit(ending="seal_broken")
        attempt = min(record.state.attempts if isinstance(record.state, Queued) else 0, ATTEMPTS_MAX) + 1
        environment = launch.environment_of(
            flight.active.environment, record.settings, experiment, run, attempt
        )
        try:
            argv = launch.command(record.settings, environment, experiment, run)
        except Refused as error:
            return Exit(ending="spawn_failed", error=error.message)
        handle = self.engine.handle(run, attempt)
        with state.storage("prepare", run.folder):
            os.makedirs(handle.folder, exist_ok=True)  # synced with run.json
        flight.record = replace(record, argv=argv, state=Launching(handle))
        state.write(run.record, flight.record)
        return self._order(flight, handle, argv, environment)

    def _order(
        self, flight: Flight, handle: Handle, argv: tuple[str, ...], environment: dict[str, str]
    ) -> Launch:
        settings = flight.record.settings
        return Launch(
            run=flight.run,
            handle=handle,
            argv=argv,
            environment=environment,
            cwd=str(flight.experiment.project),
            limit=settings.seconds,
            startup=settings.startup,
            ready_regex=settings.ready_regex,
            stall=settings.stall,
            settle=settings.settle,
            grace=self.config.grace,
            verify=self.config.verify,
        )

    def _seal_faults(self, flight: Flight) -> tuple[str, ...]:
        found = load_or_repair(flight.experiment)
        faults = contract.changed(flight.experiment, found.contract)
        live = flight.record.settings.exec == "live"
        if live and flight.exit is None and train_file.current(flight.experiment) != flight.record.sha256:
            faults = [*faults, "train.py changed between submit and launch (--exec live runs it in place)"]
        flight.seal_faults = tuple(faults)
        return flight.seal_faults

    def _started(self, flight: Flight, pid: int | None, monotonic: float | None) -> None:
        flight.pid, flight.started = pid, monotonic
        flight.step("started")
        ms = None
        if flight.received is not None and monotonic is not None:
            ms = round((monotonic - flight.received) * 1000, 2)
        self.listener.told(flight, "started", pid=pid, attempt=flight.attempts, to_exec_ms=ms)
        flight.watching = anyio.CancelScope()
        self.background.start_soon(self._follow, flight, flight.watching)

    async def _follow(self, flight: Flight, scope: anyio.CancelScope) -> None:
        """Keep the newest value of the primary metric, for those who look while it runs."""
        with scope:
            await anyio.sleep(FOLLOW_AFTER_S)
            try:
                await self._keep_latest(flight)
            except Exception as error:  # only a view: it may end, the daemon and the run go on
                self.listener.told(flight, "not followed", why=str(error))

    async def _keep_latest(self, flight: Flight) -> None:
        assert flight.handle is not None
        found = await anyio.to_thread.run_sync(load, flight.experiment)
        follower = Follower(Query(found.contract.primary, flight.record.settings.metric_regex, None))
        async for data in appended(flight.run.attempt(flight.handle.attempt).log):
            follower.feed(data)
            flight.latest = follower.latest

    # --- watch ---

    async def _watch(self, flight: Flight) -> None:
        assert flight.handle is not None
        found = await self._ended(flight, flight.handle)
        if flight.watching is not None:
            flight.watching.cancel()  # not waited for: the watcher looks up only every STEP_MS
        match found:
            case NeverStarted():
                if flight.state == "launching":
                    flight.record = replace(flight.record, state=Queued(flight.attempts - 1))
                    flight.step("never_started")
                    return
                flight.exit = Exit(ending="lost")
            case Lost(ending=ending):
                flight.exit = Exit(ending=ending, started_at=flight.record.submitted_at)
            case Finished(exit=end, ended_monotonic=ended):
                flight.exit, flight.ended = end, ended
        self.listener.told(flight, "ended", ending=flight.exit.ending, seconds=flight.exit.seconds)
        flight.step("ended")

    async def _ended(self, flight: Flight, handle: Handle) -> Finished | Lost | NeverStarted:
        """Wait for the end; while the folder is away nobody can tell how it ended."""
        pause = RETRY_FIRST_S
        while True:
            try:
                if flight.active.wanted != "run":
                    self.engine.stop(handle)
                if flight.state == "launching":
                    self._find_again(flight)
                found = await self.engine.ended(handle)
                flight.blocked = None
                return found
            except ArdaemonError as error:
                pause = await self._pause(flight, error, pause)

    def _find_again(self, flight: Flight) -> None:
        """A restarted daemon: is it running? Then everybody who asks shall see it."""
        assert flight.handle is not None
        match self.engine.probe(flight.handle):
            case Running(job=job, monotonic=monotonic):
                self._started(flight, job.pid if job else None, monotonic)
            case Unsupervised(processes=processes):
                self._started(flight, processes[0].pid if processes else None, None)

    # --- judge and commit ---

    async def _judge(self, flight: Flight) -> None:
        assert flight.exit is not None
        ended = await self._insist(flight, lambda: self._evidence(flight))
        async with self.locks.of(flight.experiment.folder):
            flight.record = await self._insist(flight, lambda: commit.decide(ended))
            flight.step("judge")
            await self._apply(flight)

    async def _commit(self, flight: Flight) -> None:
        async with self.locks.of(flight.experiment.folder):
            await self._apply(flight)

    def _evidence(self, flight: Flight) -> commit.Ended:
        """In a thread: the metrics, the reason, and the seal once more."""
        assert flight.exit is not None
        faults = flight.seal_faults or self._seal_faults(flight)
        found = load_or_repair(flight.experiment)
        attempt = max(flight.attempts, 1)
        environment = launch.environment_of(
            flight.active.environment, flight.record.settings, flight.experiment, flight.run, attempt
        )
        extracted = extract(
            flight.experiment, flight.run, flight.record, found.contract, environment, attempt, flight.exit
        )
        return commit.Ended(
            experiment=flight.experiment,
            run=flight.run,
            record=flight.record,
            exit=flight.exit,
            attempts=flight.attempts,
            extracted=extracted,
            seal_faults=faults,
            manual=flight.active.wanted == "stop",
            boot_id=flight.handle.boot_id if flight.handle else "",
        )

    async def _apply(self, flight: Flight) -> None:
        flight.result = await self._insist(
            flight, lambda: commit.apply(flight.experiment, flight.run, flight.record)
        )
        ms = None if flight.ended is None else round((time.monotonic() - flight.ended) * 1000, 2)
        commit.finish(flight.run, flight.entry)
        if flight.handle is not None:
            self.engine.forget(flight.handle)
        flight.step("commit")
        self._tell_committed(flight, flight.result, ms)

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

    async def _insist(self, flight: Flight, work: Callable[[], T]) -> T:
        """Do it in a thread, again and again while the disk refuses: a result is never dropped."""
        pause = RETRY_FIRST_S
        while True:
            try:
                done = await anyio.to_thread.run_sync(work)
            except ArdaemonError as error:
                pause = await self._pause(flight, error, pause)
                continue
            if flight.blocked is not None:
                flight.blocked = None
                flight.wake()
            return done

    async def _pause(self, flight: Flight, error: ArdaemonError, pause: float) -> float:
        """Say what is in the way, wait, and return the next, longer wait."""
        self._block(flight, error, pause)
        await anyio.sleep(pause)
        if flight.dropped:
            raise Dropped from error
        return min(pause * 2, RETRY_MOST_S)

    def _block(self, flight: Flight, error: ArdaemonError, pause: float) -> None:
        flight.blocked = f"{error.message} ({error.mend})" if error.mend else error.message
        self.listener.told(flight, "blocked", why=flight.blocked, retry_s=pause)
        flight.wake()

    async def _unblock(self, flight: Flight, pause: float) -> None:
        await anyio.sleep(pause)
        flight.blocked = None
        flight.wake()
        self.listener.told(flight, "unblocked")

    def failed(self, flight: Flight) -> None:
        """A fault of ours, in the log with its traceback; the run stays on disk as it is."""
        log.exception(
            "drive failed", extra={"facts": {"expr": flight.experiment.slug, "run_id": flight.run.run_id}}
        )
