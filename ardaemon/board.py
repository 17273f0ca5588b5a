"""The board: every run that is not committed, the slots, and who wants to hear of it."""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from ardaemon.core.config import QUEUE_MAX
from ardaemon.core.errors import Overloaded
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Handle
from ardaemon.core.protocol import RunView
from ardaemon.pipeline.flight import Flight
from ardaemon.scheduler import Slot, Start, Waiting

log = logging.getLogger("ardaemon.run")

Event = dict[str, Any]


class Board:
    """Changed by synchronous code of the event loop only: the loop is the lock."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self.flights: dict[tuple[str, str], Flight] = {}
        self.holders: dict[str, Flight] = {}  # slot name -> flight
        self.strangers: list[str] = []  # attempts that run and are no flight's: each takes a slot
        self.stranded: dict[str, str] = {}  # active entries that are no flight: name -> why
        self.waits: Callable[[Handle], str | None] = lambda _: None  # the engine's answer
        self.in_quarantine: dict[str, str] = {}  # slot name -> why nothing may be put there
        self.changed = anyio.Event()
        self.subscribers: set[MemoryObjectSendStream[Event]] = set()
        self._top = 0

    # --- flights ---

    def next_seq(self) -> int:
        """Order of submission; goes on after a restart."""
        self._top += 1
        return self._top

    def add(self, flight: Flight) -> Flight:
        """A run is on disk: it waits, or goes on."""
        known = self.flights.get(flight.key)
        if known is not None:
            return known
        self._top = max(self._top, flight.active.seq)
        self.flights[flight.key] = flight
        self.wake()
        return flight

    def require_room(self) -> None:
        """Raise Overloaded if no more runs are taken."""
        if len(self.flights) >= QUEUE_MAX:
            raise Overloaded(f"{QUEUE_MAX} runs are queued already", "wait for some of them: arctl queue")

    def drop(self, flight: Flight) -> None:
        """It is committed, or given up."""
        self.flights.pop(flight.key, None)
        self.release(flight)

    def of(self, experiment: Experiment) -> list[Flight]:
        """The flights of one experiment, in the order of submission."""
        folder = str(experiment.folder)
        return sorted((f for f in self.flights.values() if f.key[0] == folder), key=lambda f: f.active.seq)

    def find(self, experiment: Experiment, run_id: str) -> Flight | None:
        """That run, if it is not committed."""
        return self.flights.get((str(experiment.folder), run_id))

    def hold(self, folder: Path, held: bool) -> None:
        """The session of that experiment is over, or has started again."""
        for flight in self.flights.values():
            if flight.key[0] == str(folder):
                flight.held = held
        self.wake()

    # --- slots ---

    def waiting(self) -> list[Waiting]:
        """The queue, as the scheduler sees it."""
        at_work = set(map(id, self.holders.values()))
        # A verdict may end the session: the next run of that experiment waits for it.
        judging = {f.key[0] for f in self.flights.values() if f.state in ("exited", "judged")}
        return [
            Waiting(
                key=f.key,
                seq=f.active.seq,
                held=f.held or f.blocked is not None or f.key[0] in judging,
                alone_in=_alone(f),
            )
            for f in self.flights.values()
            if f.state == "queued" and id(f) not in at_work
        ]

    def free(self) -> list[Slot]:
        """Slots that nothing holds."""
        taken = self.holders.keys() | self.in_quarantine.keys()
        return [slot for slot in self.slots if slot.name not in taken][len(self.strangers) :]

    def quarantined(self, slot: str, why: str) -> None:
        """Nothing may be put there until it is lifted."""
        self.in_quarantine[slot] = why
        self._wake_waiting()

    def lift(self, slots: Iterable[str]) -> None:
        """Those may be used again."""
        for slot in slots:
            self.in_quarantine.pop(slot, None)
        self._wake_waiting()

    def _wake_waiting(self) -> None:
        for flight in self.flights.values():
            if flight.state == "queued":
                flight.wake()
        self.wake()

    def standstill(self) -> str | None:
        """Why no run can start at all, where every slot is in quarantine."""
        names = {slot.name for slot in self.slots}
        return "; ".join(self.in_quarantine.values()) if names <= self.in_quarantine.keys() else None

    def busy(self) -> frozenset[str]:
        """Experiments with a run under way."""
        return frozenset(f.key[0] for f in self.holders.values())

    def occupy(self, start: Start) -> Flight:
        """Give the slot to the run."""
        flight = self.flights[start.key]
        flight.slot = start.slot.name
        self.holders[start.slot.name] = flight
        return flight

    def occupy_any(self, flight: Flight) -> None:
        """A run found running at start has a slot, whatever the scheduler would say."""
        free = [slot.name for slot in self.free()]
        name = flight.slot if flight.slot in free else free[0] if free else ""
        self.holders[name or f"extra-{flight.run.run_id}-{id(flight)}"] = flight
        flight.slot = flight.slot or name or self.slots[0].name

    def release(self, flight: Flight) -> None:
        """Its processes are gone: the slot is free."""
        for name in [name for name, holder in self.holders.items() if holder is flight]:
            del self.holders[name]
        self.wake()

    # --- views and events ---

    def view(self, flight: Flight, positions: dict[int, int] | None = None) -> RunView:
        """One flight with its place in the queue and what it waits for."""
        if flight.state == "running" and flight.handle is not None:
            return flight.view(None, self.waits(flight.handle))
        if flight.state != "queued":
            return flight.view()
        if flight.held:
            return flight.view(None, "its session is over: arctl session start")
        if (why := self.standstill()) is not None:
            return flight.view(None, why)
        places = self._positions() if positions is None else positions
        return flight.view(places[flight.active.seq], self._why())

    def _positions(self) -> dict[int, int]:
        queue = sorted(f.active.seq for f in self.flights.values() if f.state == "queued" and not f.held)
        return {seq: place for place, seq in enumerate(queue, 1)}

    def _why(self) -> str | None:
        holders = [f"{f.experiment.slug}/{f.run.run_id}" for f in self.holders.values()]
        if self.strangers:
            holders.append(f"{len(self.strangers)} of a project that is away")
        return f"{', '.join(holders)} running" if holders else None

    def views(self) -> Iterator[RunView]:
        """All flights: those at work first, then the queue."""
        order, positions = {"queued": 1}, self._positions()
        for flight in sorted(self.flights.values(), key=lambda f: (order.get(f.state, 0), f.active.seq)):
            yield self.view(flight, positions)

    def wake(self) -> None:
        """Let the scheduler look again."""
        self.changed.set()
        self.changed = anyio.Event()

    def told(self, flight: Flight, event: str, **facts: object) -> None:
        """Log an event of a flight and pass it on; a subscriber that is too far behind is dropped."""
        where = {"expr": flight.experiment.slug, "run_id": flight.run.run_id}
        log.info(event, extra={"facts": {**where, **facts}})
        if event == "ended" and not (flight.exit is not None and flight.exit.survivors):
            self.release(flight)
        if event in ("started", "unblocked"):  # a spare shim is parked while the job runs, not at its end
            self.wake()
        message: Event = {"event": event, "project": str(flight.experiment.project), **where, **facts}
        for stream in list(self.subscribers):
            try:
                stream.send_nowait(message)
            except (anyio.WouldBlock, anyio.BrokenResourceError):
                self.subscribers.discard(stream)
                stream.close()


def _alone(flight: Flight) -> str | None:
    """Outputs outside the run's own folder: two runs of that experiment could not be told apart."""
    pattern = flight.record.settings.checkpoint_glob
    shared = pattern is not None and "{run_dir}" not in pattern
    return flight.key[0] if shared or flight.record.settings.exec == "live" else None
