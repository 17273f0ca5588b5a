"""Runs whose job has ended and whose record finds no room on the disk: whoever waits for one is told.

Their shims try again by themselves. They say so by their names alone (shim/ending.py), which is no event.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ardaemon.core.events import RunBlocked
from ardaemon.core.run_record import Handle
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.ports import Listener
from ardaemon.shim.ending import DISK_RETRY_S


class Unrecorded:
    """Look for such runs among `flights`. `waits` tells what the shim of a job that has ended waits for."""

    def __init__(
        self,
        flights: Callable[[], Iterable[Flight]],
        listener: Listener,
        waits: Callable[[Handle], str | None],
    ) -> None:
        self.flights, self.listener, self.waits = flights, listener, waits

    def projects(self) -> set[Path]:
        """Return the projects in which there are any."""
        return {flight.experiment.project for flight, _ in self._found()}

    def block(self, project: Path) -> None:
        """Count those of the project as blocked, until their records are written: no room could be made."""
        for flight, why in self._found():
            if flight.experiment.project == project and flight.blocked is None:
                flight.blocked = why
                self.listener.tell(flight, RunBlocked(why=why, retry_s=DISK_RETRY_S))
                flight.wake()
                self.listener.wake()  # whoever waits for any of them looks again

    def _found(self) -> Iterator[tuple[Flight, str]]:
        for flight in list(self.flights()):
            if flight.handle is not None and (why := self.waits(flight.handle)) is not None:
                yield flight, why
