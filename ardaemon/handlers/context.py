"""What all handlers share: the board, the experiments' locks, and how a flight ends."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
from msgspec.structs import replace

from ardaemon.core.config import Config
from ardaemon.core.errors import ArdaemonError, CorruptState, StorageError
from ardaemon.core.layout import Experiment, Host
from ardaemon.core.model import Exit
from ardaemon.experiment import session
from ardaemon.experiment.locks import Locks
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.state import State, load, sweep
from ardaemon.host import durable, state
from ardaemon.machine.local import LocalMachine
from ardaemon.machine.overseer import Overseer
from ardaemon.pipeline.drive import Driver
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.patience import Dropped
from ardaemon.queue.board import Board
from ardaemon.queue.control import Limit
from ardaemon.queue.views import Views

log = logging.getLogger("ardaemon.run")
FAULT_RETRY_S = 60.0  # after a fault of ours: it may have been the moment


@dataclass(frozen=True)
class Context:
    """The daemon, as handlers see it."""

    host: Host
    config: Config
    board: Board
    views: Views
    driver: Driver
    locks: Locks
    overseer: Overseer
    machine: LocalMachine
    swept: set[Path] = field(default_factory=set)  # experiments that this daemon has changed before

    @asynccontextmanager
    async def changing(self, experiment: Experiment, mending: bool = False) -> AsyncIterator[None]:
        """Alone with the experiment's files; refused at once while a commit cannot be written.

        `mending`: what a person does about that is let through, and the commit is tried again after it.
        """
        for flight in self.board.of(experiment):
            if not flight.run.folder.exists() and experiment.folder.exists():
                self._drop(flight)
            elif flight.blocked is not None and not mending:
                raise StorageError(
                    f"{flight.run.run_id} waits for the disk: {flight.blocked}", "mend that first"
                )
        async with self.locks.of(experiment.folder):
            if experiment.folder not in self.swept:
                await anyio.to_thread.run_sync(sweep, experiment)
                self.swept.add(experiment.folder)
            yield
        for flight in self.board.of(experiment):
            flight.nudge()

    async def keep_heard(self) -> None:
        """At a stop: who has got which verdict is on disk, so that the next daemon gives none twice."""
        for folder in list(self.board.heard):
            experiment = Experiment(Path(folder))
            try:
                async with self.locks.of(experiment.folder):
                    heard = self.board.told_of(experiment.folder)
                    forget = partial(session.forget_delivered, experiment, heard)
                    await anyio.to_thread.run_sync(forget, abandon_on_cancel=True)
            except (ArdaemonError, OSError) as error:
                log.warning("not kept", extra={"facts": {"expr": experiment.slug, "why": str(error)}})

    async def load(self, experiment: Experiment) -> State:
        """The state; repaired, with warnings, where a file is broken."""
        try:
            return load(experiment)
        except CorruptState:
            async with self.changing(experiment, mending=True):
                return await anyio.to_thread.run_sync(load_or_repair, experiment)

    async def cancel(self, flight: Flight, wanted: Literal["cancel", "stop"]) -> None:
        """Write the wish down; the loops make it so."""
        if flight.state in ("judged", "committed"):
            return
        known, flight.active = flight.active, replace(flight.active, wanted=wanted)
        if not flight.experiment.folder.exists() and flight.state in ("queued", "exited"):
            self._drop(flight)
            return
        if flight.state == "running" and flight.handle is not None:
            self.driver.engine.stop(flight.handle)  # first: the job may be what fills the disk
        if flight.active != known:
            await self.keep(flight)
        self.board.told(flight, "cancel", wanted=wanted)
        if flight.state == "queued" and flight.key not in self.board.placement.seated:
            flight.exit = Exit(ending="cancelled")
            flight.step("cancelled")
            self.driver.background.start_soon(self.fly, flight)

    def limit(self, flight: Flight, limit: Limit) -> None:
        """It takes more memory than it may: written down, then ended."""
        if flight.state == "running" and flight.active.wanted == "run":
            flight.active = replace(flight.active, wanted=limit)
            self.driver.background.start_soon(self._limit, flight, limit)

    async def _limit(self, flight: Flight, limit: Limit) -> None:
        """Written first: a kill in between shall not make an interruption of it. It is ended in any case."""
        try:
            await self.keep(flight)
        except (ArdaemonError, OSError) as error:
            log.warning("not written", extra={"facts": {"run_id": flight.run.run_id, "why": str(error)}})
        self.board.told(flight, "limit", limit=limit)
        try:
            if flight.state == "running" and flight.handle is not None:
                self.driver.engine.stop(flight.handle)
        except (ArdaemonError, OSError) as error:  # its folder is away; its own limit ends it
            log.warning("not stopped", extra={"facts": {"run_id": flight.run.run_id, "why": str(error)}})

    async def keep(self, flight: Flight) -> None:
        """Write the active entry as it is by now; of several writers at once the last one writes for all."""
        async with flight.writing:
            await anyio.to_thread.run_sync(state.write, flight.entry, flight.active, 0o600)

    async def fly(self, flight: Flight) -> None:
        """Drive a flight; off the board when it is committed, its slot free when it is not."""
        try:
            await self.driver.drive(flight)
        except Dropped:
            return
        except Exception as error:
            self._failed(flight, error)
        if flight.state != "committed":
            self.board.release(flight)
            return
        if flight.result is not None and flight.result.should_terminate:
            self.board.hold(flight.experiment.folder, True)
        self.board.taught(flight)
        self.board.drop(flight)

    def _failed(self, flight: Flight, error: Exception) -> None:
        """A fault of ours, in the log with its traceback; the run stays on disk, and is tried again."""
        flight.blocked = f"a fault of the daemon ({type(error).__name__}): see arctl daemon logs"
        flight.wake()
        where = {"expr": flight.experiment.slug, "run_id": flight.run.run_id}
        log.exception("drive failed", extra={"facts": where})
        self.driver.background.start_soon(self._again, flight)

    async def _again(self, flight: Flight) -> None:
        with anyio.move_on_after(FAULT_RETRY_S):
            await flight.nudged.wait()
        flight.blocked = None
        flight.wake()
        if flight.state == "queued":
            self.board.wake()
        else:
            await self.fly(flight)

    def _drop(self, flight: Flight) -> None:
        """Its folder is gone: there is nothing to write a verdict into."""
        durable.remove(flight.entry)
        flight.dropped = True
        self.driver.committer.forget(flight)
        self.machine.discard(flight)
        flight.blocked = "its folder is gone; it was dropped"
        self.board.told(flight, "dropped", why=flight.blocked)
        flight.wake()
        self.board.drop(flight)
