"""What the pipeline needs of the daemon around it."""

from pathlib import Path
from typing import Protocol

from ardaemon.core.measured import Measured
from ardaemon.gpus.lease import Lease, Taken
from ardaemon.pipeline.flight import Flight


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
