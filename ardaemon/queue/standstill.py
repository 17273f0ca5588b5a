"""Say why a waiting run does not start, whatever else ends: somebody has to do something first."""

from msgspec import Struct

from ardaemon.core.mends import go_on, release
from ardaemon.core.queue import Card
from ardaemon.pipeline.flight import Flight
from ardaemon.queue.placement import Placement


class Standstill(Struct, frozen=True):
    """The reason, and the command that ends it; without such a command the reason says what to do."""

    why: str
    command: str | None = None

    @property
    def line(self) -> str:
        """Return both, as a view of the run has them."""
        return self.why if self.command is None else f"{self.why}: {self.command}"


def standstill(
    flight: Flight, placement: Placement, cards: tuple[Card, ...] | None = None
) -> Standstill | None:
    """Return why the run stands still; None where it is under way, or starts once others have ended.

    `cards` are the GPUs, if the caller has looked at them already.
    """
    if not placement.is_waiting(flight):
        return None
    if flight.session_over:
        return Standstill("its session is over", go_on(flight.experiment.slug))
    if flight.active.held:
        return Standstill("held", release(flight.run.run_id, flight.experiment.slug))
    why = placement.standstill(flight, cards)
    return None if why is None else Standstill(why)
