"""Runs as people and agents see them: where one stands in the queue, and what it waits for."""

import time
from collections.abc import Callable, Iterator
from heapq import nsmallest
from typing import Any, NamedTuple

import anyio
from msgspec.structs import replace

from ardaemon.core.measured import Sample
from ardaemon.core.protocol import RunView
from ardaemon.core.queue import Card, Key
from ardaemon.core.run_record import Handle
from ardaemon.pipeline.flight import Flight
from ardaemon.queue import facts, reasons
from ardaemon.queue.board import Board
from ardaemon.queue.reasons import QueuePlace
from ardaemon.queue.standstill import standstill

# A look at 10,000 runs takes 0.1 s of the event loop, and 64 clients may ask at the same moment.
LONG = 64  # runs; in a longer queue a look serves all who ask soon after it
SEEN_S = 1.0  # for so long, while the board is as it was
PLACED_MAX = 1000  # runs; with more a submit does not tell the position: looking at so many takes 10 ms
REST = 10  # times as long as the look took, whatever the board: then looks cost a tenth of the loop


class Sight(NamedTuple):
    """The queue and the GPUs as a view of many runs needs them; `order` numbers the runs that wait."""

    places: dict[Key, QueuePlace]
    cards: tuple[Card, ...]
    order: dict[Key, int]


class _Look(NamedTuple):
    """A look at a long queue: what was seen of which state of the board, when, and how long it took."""

    sight: Sight
    changed: anyio.Event
    at: float
    took: float

    def serves(self, changed: anyio.Event, now: float) -> bool:
        """Tell whether who asks now may have it."""
        age = now - self.at
        return age < self.took * REST or (age < SEEN_S and changed is self.changed)


class Views:
    """Make views from the board, anew at each question."""

    def __init__(
        self,
        board: Board,
        waits: Callable[[Handle], str | None],
        live: Callable[[Handle], Sample | None],
    ) -> None:
        """Look at the board. `waits` tells what the shim of a job that has ended waits for.

        `live` tells what an attempt uses now.
        """
        self.board, self.waits, self.live = board, waits, live
        self.last: _Look | None = None

    def view(self, flight: Flight, sight: Sight | None = None) -> RunView:
        """Return one flight with its place in the queue and what it waits for; one `sight` serves many."""
        view = flight.view(**self._where(flight, sight))
        gpus = tuple(gpu.index for gpu in self.board.placement.gpus.readings if gpu.uuid in flight.seat.cards)
        sample = self.live(flight.handle) if flight.handle is not None else None
        if sample is None:
            return replace(view, gpus=gpus) if gpus else view
        return replace(view, gpus=gpus, vram_mb=sample.vram_mb, rss_mb=sample.rss_mb)

    def submitted(self, flight: Flight) -> RunView:
        """Return a run that was just submitted; of a long queue without its position there.

        That takes a look at all who wait, which a submit would make its client wait for.
        """
        if len(self.board.flights) <= PLACED_MAX:
            return self.view(flight)
        still, closed = standstill(flight, self.board.placement), self.board.gate.closed()
        why = still.line if still is not None else closed.why if closed is not None else None
        return flight.view(why=why)

    def _where(self, flight: Flight, sight: Sight | None) -> dict[str, Any]:
        if flight.state == "running" and flight.handle is not None:
            return {"why": self.waits(flight.handle)}
        if not self.board.placement.is_waiting(flight):
            return {}
        still = standstill(flight, self.board.placement, sight.cards if sight is not None else None)
        if still is not None:
            return {"why": still.line}
        if flight.need.gpus and self.board.placement.gpus.inventory is None:
            return {"why": "the GPUs are being looked at"}
        sight = sight or self.sight()
        place = sight.places.get(flight.key)
        if place is None or place.position is None:
            return {"why": place.why if place is not None else None}
        return {"position": place.position, "why": place.why}

    def sight(self, fresh: bool = False) -> Sight:
        """Look at the queue, in its order for people, and at the GPUs: once for all runs that are shown.

        Of a long queue a look may be some moments old, unless it is to be `fresh`: nothing is decided by it.
        """
        now = time.monotonic()
        if not fresh and self.last is not None and self.last.serves(self.board.changed, now):
            return self.last.sight
        seen = facts.gather(self.board, now, strict=False)
        places = {place.key: place for place in reasons.places(seen)}
        sight = Sight(places, seen.cards, {key: number for number, key in enumerate(places)})
        end = time.monotonic()
        is_long = len(self.board.flights) > LONG
        self.last = _Look(sight, self.board.changed, end, end - now) if is_long else None
        return sight

    def views(self, most: int | None = None, fresh: bool = False) -> Iterator[RunView]:
        """Yield the first flights, or all: those at work, then those that wait, in their order."""
        sight = self.sight(fresh)

        def rank(flight: Flight) -> tuple[bool, int, int]:
            return flight.state == "queued", sight.order.get(flight.key, -1), flight.active.seq

        shown = (f for f in self.board.flights.values() if not (f.dropped and f.state == "queued"))
        for flight in sorted(shown, key=rank) if most is None else nsmallest(most, shown, key=rank):
            yield self.view(flight, sight)
