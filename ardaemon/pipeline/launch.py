"""Launch: from the queue to the engine, on the seat that the scheduler gave."""

import anyio.to_thread
from msgspec.structs import replace

from ardaemon.core.config import Config
from ardaemon.core.errors import ArdaemonError, SessionNotLive, Unclean
from ardaemon.core.model import Exit
from ardaemon.engines.base import Engine
from ardaemon.experiment.locks import Locks
from ardaemon.gpus.lease import Lease
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.order import prepare
from ardaemon.pipeline.patience import Patience
from ardaemon.pipeline.ports import Machine
from ardaemon.pipeline.watch import Watcher, ending_of


class Launcher:
    """Hand a queued flight to the engine."""

    def __init__(
        self,
        engine: Engine,
        config: Config,
        locks: Locks,
        machine: Machine,
        watcher: Watcher,
        patience: Patience,
    ) -> None:
        self.engine, self.config, self.locks = engine, config, locks
        self.machine, self.watcher, self.patience = machine, watcher, patience

    async def launch(self, flight: Flight) -> None:
        """Start it, or set it aside for a while; the watcher finds out what became of it."""
        if flight.active.wanted != "run":
            flight.end_as(Exit(ending=ending_of(flight) or "cancelled"))
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
        lease = await self.machine.lease(flight)
        if isinstance(lease, Lease):
            return lease
        await self.machine.refused(flight, lease)
        return None

    async def _launch_on(self, flight: Flight, leases: tuple[int, ...]) -> None:
        try:
            async with self.locks.of(flight.experiment.folder):  # another run of it may be committed now
                order = await anyio.to_thread.run_sync(prepare, flight, self.engine, self.config)
        except (Unclean, SessionNotLive):
            flight.session_over = True
            flight.wake()
            return
        except (ArdaemonError, OSError) as error:  # the slot goes to another run meanwhile
            self.patience.set_aside(flight, error)
            return
        flight.record, launch = order.record, order.what
        assert flight.going is not None, "the scheduler gave it a seat"
        flight.going.seal_faults = order.seal_faults
        flight.step("launch")
        if isinstance(launch, Exit):
            flight.end_as(launch)
            flight.step("ended")
            return
        flight.going.handle = launch.handle
        started = await self.engine.start(replace(launch, leases=leases) if leases else launch)
        if started is not None and started.error is None:
            flight.failures = 0
            self.watcher.started(flight, started.pid, started.monotonic)
