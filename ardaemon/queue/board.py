"""The board: every run that is not committed, and who wants to hear of it."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from msgspec.structs import replace

from ardaemon.core.config import QUEUE_MAX, Config
from ardaemon.core.errors import Overloaded
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Session
from ardaemon.core.queue import Key
from ardaemon.core.run_record import Judged
from ardaemon.pipeline.flight import Flight
from ardaemon.queue.placement import Placement

log = logging.getLogger("ardaemon.run")

Event = dict[str, Any]


class Board:
    """Changed by synchronous code of the event loop only: the loop is the lock."""

    def __init__(self, config: Config, placement: Placement) -> None:
        self.config, self.placement = config, placement
        self.flights: dict[Key, Flight] = {}
        self.stranded: dict[str, str] = {}  # active entries that are no flight: name -> why
        self.changed = anyio.Event()
        # Experiment's folder -> runs whose verdict a client has got. On disk with the next commit: after a
        # kill of the daemon a verdict may be told once more, never once less.
        self.heard: dict[str, set[str]] = {}
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

    def release(self, flight: Flight) -> None:
        """Its processes are gone: its place is free."""
        self.placement.release(flight)
        self.wake()

    def of(self, experiment: Experiment) -> list[Flight]:
        """The flights of one experiment, in the order of submission."""
        folder = str(experiment.folder)
        return sorted((f for f in self.flights.values() if f.key[0] == folder), key=lambda f: f.active.seq)

    def find(self, experiment: Experiment, run_id: str) -> Flight | None:
        """That run, if it is not committed."""
        return self.flights.get((str(experiment.folder), run_id))

    def renew(self, folder: Path, session: Session) -> None:
        """What waits is of the new session by now: its settings say how long it may take, and beside whom."""
        for flight in self.flights.values():
            if flight.key[0] == str(folder) and flight.state == "queued" and session.settings is not None:
                settings, epoch = session.settings, session.epoch
                flight.record = replace(flight.record, settings=settings, epoch=epoch)

    def hold(self, folder: Path, held: bool) -> None:
        """The session of that experiment is over, or has started again."""
        for flight in self.flights.values():
            if flight.key[0] == str(folder):
                flight.held = held
                flight.wake()
        self.wake()

    def in_use(self) -> frozenset[str]:
        """The promoted checkpoints that runs under way were launched with, of whatever experiment."""
        return frozenset(path for flight in self.flights.values() for path in flight.reads)

    def wants_gpus(self) -> bool:
        """Does a run wait that could start if GPUs were free?"""
        return any(
            f.state == "queued" and f.need.gpus and f.key not in self.placement.seated and not f.stands_still
            for f in self.flights.values()
        )

    def taught(self, flight: Flight) -> None:
        """A run was committed: those that wait may need less, or more, than was thought."""
        if isinstance(flight.record.state, Judged):
            for other in self.of(flight.experiment):
                other.peaks = flight.record.state.decision.peaks

    # --- verdicts that were told ---

    def told_of(self, folder: Path) -> frozenset[str]:
        """The runs of that experiment whose verdict somebody has waited for."""
        return frozenset(self.heard.get(str(folder), ()))

    def hear(self, experiment: Experiment, run_id: str, untold: tuple[str, ...]) -> None:
        """A client got that verdict; what the session does not know any more need not be remembered."""
        remembered = {run_id, *untold, *(flight.run.run_id for flight in self.of(experiment))}
        known = self.heard.get(str(experiment.folder), set())
        self.heard[str(experiment.folder)] = {run_id, *(known & remembered)}

    # --- places in quarantine ---

    def quarantined(self, slot: str, why: str) -> None:
        """Nothing may be put there until it is lifted."""
        self.placement.unclean[slot] = why
        self.wake_waiting()

    def lift(self, slots: Iterable[str]) -> None:
        """What lived there is gone."""
        for slot in slots:
            self.placement.unclean.pop(slot, None)
        self.wake_waiting()

    # --- events ---

    def wake_waiting(self) -> None:
        """What waits may be able to go on, or know that it cannot."""
        for flight in self.flights.values():
            if flight.state == "queued":
                flight.wake()
        self.wake()

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
