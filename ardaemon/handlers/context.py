"""What all handlers share: the board, the experiments' locks, and how a flight ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import anyio.to_thread
from msgspec.structs import replace

from ardaemon.board import Board
from ardaemon.core.config import Config
from ardaemon.core.errors import CorruptState, StorageError
from ardaemon.core.layout import Experiment, Host
from ardaemon.core.model import Exit
from ardaemon.host import durable, state
from ardaemon.pipeline.drive import Driver, Dropped, Locks
from ardaemon.pipeline.experiment import State, load, load_or_repair
from ardaemon.pipeline.flight import Flight


@dataclass(frozen=True)
class Context:
    """The daemon, as handlers see it."""

    host: Host
    config: Config
    board: Board
    driver: Driver
    locks: Locks

    @asynccontextmanager
    async def changing(self, experiment: Experiment) -> AsyncIterator[None]:
        """Alone with the experiment's files; refused at once while a commit cannot be written."""
        for flight in self.board.of(experiment):
            if not flight.run.folder.exists() and experiment.folder.exists():
                self._drop(flight)
            elif flight.blocked is not None:
                raise StorageError(
                    f"{flight.run.run_id} waits for the disk: {flight.blocked}", "mend that first"
                )
        async with self.locks.of(experiment.folder):
            yield

    async def load(self, experiment: Experiment) -> State:
        """The state; repaired, with warnings, where a file is broken."""
        try:
            return load(experiment)
        except CorruptState:
            async with self.changing(experiment):
                return await anyio.to_thread.run_sync(load_or_repair, experiment)

    async def cancel(self, flight: Flight, wanted: Literal["cancel", "stop"]) -> None:
        """Write the wish down; the loops make it so."""
        if flight.state in ("judged", "committed"):
            return
        flight.active = replace(flight.active, wanted=wanted)
        if not flight.experiment.folder.exists() and flight.state in ("queued", "exited"):
            self._drop(flight)
            return
        await anyio.to_thread.run_sync(state.write, flight.entry, flight.active, 0o600)
        self.board.told(flight, "cancel", wanted=wanted)
        if flight.state == "queued" and flight not in self.board.holders.values():
            flight.exit = Exit(ending="cancelled")
            flight.step("cancelled")
            self.driver.background.start_soon(self.fly, flight)
        elif flight.state == "running" and flight.handle is not None:
            self.driver.engine.stop(flight.handle)

    async def fly(self, flight: Flight) -> None:
        """Drive a flight; off the board when it is committed, its slot free when it is not."""
        try:
            await self.driver.drive(flight)
        except Dropped:
            return
        except Exception as error:
            flight.blocked = f"a fault of the daemon ({type(error).__name__}): see arctl daemon logs"
            flight.wake()
            self.driver.failed(flight)
        if flight.state != "committed":
            self.board.release(flight)
            return
        if flight.result is not None and flight.result.should_terminate:
            self.board.hold(flight.experiment.folder, True)
        self.board.drop(flight)

    def _drop(self, flight: Flight) -> None:
        """Its folder is gone: there is nothing to write a verdict into."""
        durable.remove(flight.entry)
        flight.dropped = True
        flight.blocked = "its folder is gone; it was dropped"
        self.board.told(flight, "dropped", why=flight.blocked)
        flight.wake()
        self.board.drop(flight)
