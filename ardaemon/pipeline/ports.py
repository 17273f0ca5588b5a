"""The needs of the pipeline: what the daemon around it does for it, as Protocols."""

from pathlib import Path
from typing import Protocol

from ardaemon.core.events import RunEvent
from ardaemon.core.layout import Experiment
from ardaemon.core.measured import Measured
from ardaemon.gpus.lease import Taken
from ardaemon.pipeline.flight import Flight


class Listener(Protocol):
    """The queue around the pipeline: who is told of events, and who gives places away."""

    def tell(self, flight: Flight, event: RunEvent) -> None:
        """Log an event of that flight and pass it on."""
        ...

    def release(self, flight: Flight) -> None:
        """Free the flight's place: its processes are gone."""
        ...

    def wake(self) -> None:
        """Let the scheduler look again."""
        ...

    def quarantined(self, slot: str, why: str) -> None:
        """Put nothing there until it is lifted."""
        ...

    def delivered(self, folder: Path) -> frozenset[str]:
        """Return the runs of that experiment whose verdict a client has got."""
        ...

    def next_seq(self) -> int:
        """Return the next number in the order of submission."""
        ...

    def add(self, flight: Flight) -> Flight:
        """Put a run that is on disk in the queue; returns the flight that is there."""
        ...

    def find(self, experiment: Experiment, run_id: str) -> Flight | None:
        """Return that run, if it is not committed."""
        ...

    def of(self, experiment: Experiment) -> list[Flight]:
        """Return the runs of an experiment that are not committed, in the order of submission."""
        ...

    def will_audit(self, name: str, checkpoint: str) -> None:
        """Note that an advance waits for its audit, by its entry's name; its checkpoint stays until then."""
        ...

    def in_use(self) -> frozenset[str]:
        """Return the promoted checkpoints that runs under way were launched with."""
        ...


class Machine(Protocol):
    """This machine at the service of a run, beside the engine: its GPUs, and measuring it."""

    async def refused(self, flight: Flight, taken: Taken) -> None:
        """Note which of its GPUs could not be had: the run waits until it can."""
        ...

    async def begin(self, flight: Flight) -> None:
        """Measure it from now on: it runs."""
        ...

    async def end(self, flight: Flight) -> Measured | None:
        """Return what was measured, on disk; raises ArdaemonError where trying again can help."""
        ...

    def discard(self, flight: Flight) -> None:
        """Forget the flight: it is given up."""
        ...
