"""Launch: from the queue to the engine, on the seat that the scheduler gave."""

from functools import partial

from ardaemon.core import lifecycle
from ardaemon.core.errors import ArdaemonError, SessionNotLive, Unclean
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.model import Exit
from ardaemon.core.run_record import Handle
from ardaemon.engines.base import Engine, Started
from ardaemon.experiment.started_here import StartedHere
from ardaemon.gpus.lease import Taken
from ardaemon.host import state
from ardaemon.host.disk import until_cancelled
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.order import Order, prepare
from ardaemon.pipeline.patience import Patience
from ardaemon.pipeline.ports import Machine
from ardaemon.pipeline.watch import Watcher, ending_of


class Launcher:
    """Hand a queued flight to the engine."""

    def __init__(
        self,
        engine: Engine,
        config: LiveConfig,
        machine: Machine,
        watcher: Watcher,
        patience: Patience,
        started_here: StartedHere,
    ) -> None:
        self.engine, self.config, self.started_here = engine, config, started_here
        self.machine, self.watcher, self.patience = machine, watcher, patience

    async def launch(self, flight: Flight) -> None:
        """Start the run, or set it aside for a while; the watcher finds out what became of it."""
        if _is_unwanted(flight, "cancelled"):
            return
        try:
            async with self.patience.alone(flight):  # another run of it may be committed now
                prepared = partial(prepare, flight, self.engine, self.config.now, self.started_here)
                work = until_cancelled(prepared)
                order = await self.patience.once(flight, work)
        except (Unclean, SessionNotLive):
            flight.session_over = True
            flight.wake()
            return
        except (ArdaemonError, OSError) as error:  # the slot goes to another run meanwhile
            await self.patience.set_aside(flight, error)
            return
        await self._begin(flight, order)

    async def _begin(self, flight: Flight, order: Order) -> None:
        """Hand the attempt to the engine; end the run if none can be made, or its end is wanted by now."""
        flight.record, launch = order.record, order.what
        assert flight.going is not None, "the scheduler gave it a seat"
        flight.going.seal_faults = order.seal_faults
        flight.step("launch")
        if isinstance(launch, Exit):
            flight.end_as(launch)
            flight.step("ended")
            return
        flight.going.handle = launch.handle
        if _is_unwanted(flight, "ended"):  # since the launch was prepared
            return
        match await self.engine.start(launch):
            case Started(error=None) as started:
                flight.failures = 0
                self.watcher.started(flight, started.pid, started.monotonic)
            case Taken() as taken:
                await self._take_back(flight, launch.handle, taken)

    async def _take_back(self, flight: Flight, handle: Handle, taken: Taken) -> None:
        """Put a run back in the queue whose seat was taken: no attempt was made, and nothing has failed.

        On disk as well: after a reboot it waits on, where an attempt under way would count as lost. It keeps
        its seat until then, so that the scheduler knows of the other daemon when the seat is free.
        """
        await self.machine.refused(flight, taken)
        queued = flight.taken_back()
        signed = self.started_here.records.signed(queued)
        await self.patience.insist(flight, partial(state.write, flight.run.record, signed))
        flight.record = queued
        self.engine.forget(handle)
        flight.step("never_started")


def _is_unwanted(flight: Flight, event: lifecycle.Event) -> bool:
    """End the run, by `event`, if its end is wanted by now; tell whether it was."""
    if flight.goes_on():
        return False
    flight.end_as(Exit(ending=ending_of(flight) or "cancelled"))
    flight.step(event)
    return True
