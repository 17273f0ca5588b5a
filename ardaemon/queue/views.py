"""Runs as people and agents see them: where one stands in the queue, and what it waits for."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

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


class Sight(NamedTuple):
    """The queue and the GPUs as a view of many runs needs them."""

    places: dict[Key, QueuePlace]
    cards: tuple[Card, ...]


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

    def view(self, flight: Flight, sight: Sight | None = None) -> RunView:
        """Return one flight with its place in the queue and what it waits for; one `sight` serves many."""
        view = flight.view(**self._where(flight, sight))
        gpus = tuple(gpu.index for gpu in self.board.placement.gpus.readings if gpu.uuid in flight.seat.cards)
        sample = self.live(flight.handle) if flight.handle is not None else None
        if sample is None:
            return replace(view, gpus=gpus) if gpus else view
        return replace(view, gpus=gpus, vram_mb=sample.vram_mb, rss_mb=sample.rss_mb)

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

    def sight(self) -> Sight:
        """Look at the queue, in its order for people, and at the GPUs: once for all runs that are shown."""
        seen = facts.gather(self.board, time.monotonic(), strict=False)
        return Sight({place.key: place for place in reasons.places(seen)}, seen.cards)

    def views(self) -> Iterator[RunView]:
        """Yield all flights: those at work first, then the queue, in the order in which it is looked at."""
        sight = self.sight()
        order = {key: number for number, key in enumerate(sight.places)}

        def rank(flight: Flight) -> tuple[bool, int, int]:
            return flight.state == "queued", order.get(flight.key, -1), flight.active.seq

        shown = (f for f in self.board.flights.values() if not (f.dropped and f.state == "queued"))
        for flight in sorted(shown, key=rank):
            yield self.view(flight, sight)
