"""The board: every run that is not committed, its place, and who wants to hear of it."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from msgspec.structs import replace

from ardaemon import waits
from ardaemon.core.config import QUEUE_MAX, Config
from ardaemon.core.errors import Overloaded
from ardaemon.core.gpus import Need, is_allowed
from ardaemon.core.layout import Experiment
from ardaemon.core.measured import Sample
from ardaemon.core.model import Handle, Session
from ardaemon.core.protocol import RunView
from ardaemon.core.queue import AtWork, Card, Facts, Key, Start, Waiting
from ardaemon.inventory import Gpus, Tenant
from ardaemon.pipeline import peaks
from ardaemon.pipeline.flight import Flight
from ardaemon.waits import Place

log = logging.getLogger("ardaemon.run")

Event = dict[str, Any]
AWAY = "a project that is away"
LAUNCH_S = 5.0  # from the decision to the job's first instruction, on a machine that swaps


class Sight(NamedTuple):
    """What a view of many runs is made from."""

    places: dict[Key, Place]
    cards: tuple[Card, ...]


class Board:
    """Changed by synchronous code of the event loop only: the loop is the lock."""

    def __init__(self, config: Config, gpus: Gpus) -> None:
        self.config, self.gpus = config, gpus
        self.slots = tuple(f"cpu{number}" for number in range(config.cpu_slots))
        self.flights: dict[Key, Flight] = {}
        self.seated: dict[Key, Flight] = {}  # those that have their slots
        self.kept: Key | None = None  # whose the reservation was at the last decision
        self.strangers: list[str] = []  # attempts that run and are no flight's: each takes a CPU slot
        self.stranded: dict[str, str] = {}  # active entries that are no flight: name -> why
        self.waits: Callable[[Handle], str | None] = lambda _: None  # the engine's answer
        self.live: Callable[[Handle], Sample | None] = lambda _: None  # the sampler's
        self.unclean: dict[str, str] = {}  # slot name -> what lives there that could not be killed
        self.sick: dict[str, str] = {}  # UUID of a GPU -> what is wrong with it
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

    def told_of(self, folder: Path) -> frozenset[str]:
        """The runs of that experiment whose verdict somebody has waited for."""
        return frozenset(self.heard.get(str(folder), ()))

    def in_use(self) -> frozenset[str]:
        """The promoted checkpoints that runs under way were launched with, of whatever experiment."""
        return frozenset(path for flight in self.flights.values() for path in flight.reads)

    def hear(self, experiment: Experiment, run_id: str, untold: tuple[str, ...]) -> None:
        """A client got that verdict; what the session does not know any more need not be remembered."""
        remembered = {run_id, *untold, *(flight.run.run_id for flight in self.of(experiment))}
        known = self.heard.get(str(experiment.folder), set())
        self.heard[str(experiment.folder)] = {run_id, *(known & remembered)}

    # --- places ---

    def facts(self, now: float, strict: bool = True) -> Facts:
        """The queue and the machine, as the scheduler sees them; `strict`: by a look of this moment alone."""
        judging = {f.key[0] for f in self.flights.values() if _may_end_session(f)}
        return Facts(
            now=now,
            waiting=tuple(
                self._waiting(f, f.key[0] in judging)
                for f in self.flights.values()
                if f.state == "queued" and f.key not in self.seated
            ),
            at_work=(*(self._at_work(f) for f in self.seated.values()), *self._strange()),
            cards=self.gpus.cards(self.tenants(), self.in_quarantine, now if strict else None),
            slots=self._open_slots(),
            kept=self.kept,
        )

    def _waiting(self, flight: Flight, judging: bool) -> Waiting:
        return Waiting(
            key=flight.key,
            seq=flight.active.seq,
            experiment=flight.key[0],
            need=self._need(flight),
            seconds=self._longest(flight),
            front=flight.active.front,
            held=flight.stands_still,
            paused=judging,
            alone_in=_alone(flight),
            alone="oom" in flight.again,
            unfit=self.gpus.unfit(flight.need),
        )

    def _need(self, flight: Flight) -> Need:
        """What it asks for, as far as that is known by now."""
        need = replace(flight.need, priority=flight.active.priority)
        if need.share and need.vram_mb is None:
            return replace(need, vram_mb=self.gpus.learned(flight.peaks))
        return need

    def _at_work(self, flight: Flight) -> AtWork:
        cards = tuple(slot for slot in flight.slots if slot not in self.slots)
        since = flight.placed if flight.placed is not None else flight.started or time.monotonic()
        return AtWork(
            key=flight.key,
            experiment=flight.key[0],
            seq=flight.active.seq,
            cards=cards,
            slot=next((slot for slot in flight.slots if slot in self.slots), None),
            ends_by=since + self._longest(flight),
            share=flight.shares,
            vram_mb=flight.vram_mb,
        )

    def _longest(self, flight: Flight) -> float:
        """Seconds that an attempt holds its place at most, from the decision that it may start."""
        settings = flight.record.settings
        clean_up = settings.settle + 2 * self.config.grace + self.config.verify
        return LAUNCH_S + (settings.startup or 0.0) + settings.seconds + clean_up

    def tenants(self) -> dict[str, list[Tenant]]:
        """UUID -> the runs that have it."""
        found: dict[str, list[Tenant]] = {}
        for flight in self.seated.values():
            folder = flight.handle.folder if flight.handle is not None else ""
            tenant = Tenant(folder=folder, share=flight.shares, vram_mb=flight.vram_mb or 0.0)
            for slot in flight.slots:
                found.setdefault(slot, []).append(tenant)
        return found

    def _strange(self) -> Iterator[AtWork]:
        """What runs without being a run of ours takes a CPU slot as well."""
        taken = {slot for flight in self.seated.values() for slot in flight.slots}
        free = [slot for slot in self._open_slots() if slot not in taken]
        for name, slot in zip(self.strangers, free, strict=False):
            key = (AWAY, name.split("-")[1])  # named by host, run and attempt: engines/local.py
            yield AtWork(key=key, experiment=AWAY, slot=slot)

    def _open_slots(self) -> tuple[str, ...]:
        return tuple(slot for slot in self.slots if slot not in self.in_quarantine)

    def wants_gpus(self) -> bool:
        """Does a run wait that could start if GPUs were free?"""
        return any(
            f.state == "queued" and f.need.gpus and f.key not in self.seated and not f.stands_still
            for f in self.flights.values()
        )

    @property
    def in_quarantine(self) -> dict[str, str]:
        """Slot name -> why nothing may be put there."""
        return {**self.sick, **self.unclean}

    def quarantined(self, slot: str, why: str) -> None:
        """Nothing may be put there until it is lifted."""
        self.unclean[slot] = why
        self.wake_waiting()

    def lift(self, slots: Iterable[str]) -> None:
        """What lived there is gone."""
        for slot in slots:
            self.unclean.pop(slot, None)
        self.wake_waiting()

    def wake_waiting(self) -> None:
        """What waits may be able to go on, or know that it cannot."""
        for flight in self.flights.values():
            if flight.state == "queued":
                flight.wake()
        self.wake()

    def standstill(self, flight: Flight, cards: tuple[Card, ...] | None = None) -> str | None:
        """Why such a run cannot start at all, where every place for it is in quarantine."""
        if not flight.need.gpus:
            names = {*self.slots}
            return "; ".join(self.in_quarantine.values()) if names <= self.in_quarantine.keys() else None
        allowed = flight.need.allowed
        cards = self.gpus.cards(self.tenants(), self.in_quarantine) if cards is None else cards
        mine = [c for c in cards if allowed is None or is_allowed(c.index, c.uuid, allowed)]
        if not mine or any(card.state != "quarantined" for card in mine):
            return None
        return "; ".join(card.occupant for card in mine)

    def occupy(self, start: Start, now: float) -> Flight:
        """Give the run its place, at the moment of the decision."""
        flight = self.flights[start.key]
        flight.slots = start.cards or ((start.slot,) if start.slot is not None else ())
        flight.shares = start.share
        flight.vram_mb = self._need(flight).vram_mb if start.share else None
        flight.devices = self._devices(start.cards)
        if start.cards and self.gpus.inventory is not None:
            flight.header = peaks.header(self.gpus.inventory, start.cards)
        flight.placed = now
        self.seated[flight.key] = flight
        return flight

    def _devices(self, cards: tuple[str, ...]) -> tuple[str, ...] | None:
        """What it may see of the GPUs; a CPU run sees none. None: there is no driver."""
        found = self.gpus.inventory
        return None if found is not None and found.state == "none" else tuple(map(self.gpus.device, cards))

    def occupy_any(self, flight: Flight) -> None:
        """A run found running at start has its place, whatever the scheduler would say."""
        if not flight.slots:  # launched by a version that did not write it down
            taken = {slot for other in self.seated.values() for slot in other.slots}
            flight.slots = (next((slot for slot in self.slots if slot not in taken), self.slots[0]),)
        self.seated[flight.key] = flight

    def release(self, flight: Flight) -> None:
        """Its processes are gone: its place is free; a GPU, once its memory is."""
        if self.seated.pop(flight.key, None) is not None:
            now, held = time.monotonic(), self.tenants()
            for slot in flight.slots if flight.handle is not None else ():  # else it was never there
                if slot not in self.slots and slot not in held:
                    self.gpus.released[slot] = now
        self.wake()

    # --- views and events ---

    def view(self, flight: Flight, sight: Sight | None = None) -> RunView:
        """One flight with its place in the queue and what it waits for; one `sight` serves many of them."""
        view = flight.view(**self._where(flight, sight))
        gpus = tuple(gpu.index for gpu in self.gpus.known if gpu.uuid in flight.slots)
        sample = self.live(flight.handle) if flight.handle is not None else None
        if sample is None:
            return replace(view, gpus=gpus) if gpus else view
        return replace(view, gpus=gpus, vram_mb=sample.vram_mb, rss_mb=sample.rss_mb)

    def _where(self, flight: Flight, sight: Sight | None) -> dict[str, Any]:
        if flight.state == "running" and flight.handle is not None:
            return {"why": self.waits(flight.handle)}
        if flight.state != "queued" or flight.key in self.seated:
            return {}
        if flight.held:
            return {"why": "its session is over: arctl session start"}
        if flight.active.held:
            return {"why": f"held: arctl queue release {flight.run.run_id}"}
        sight = sight or self.sight()
        if (why := self.standstill(flight, sight.cards)) is not None:
            return {"why": why}
        if flight.need.gpus and self.gpus.inventory is None:
            return {"why": "the GPUs are being looked at"}
        place = sight.places.get(flight.key)
        if place is None or place.position is None:
            return {"why": place.why if place is not None else None}
        return {"position": place.position, "why": place.why}

    def sight(self) -> Sight:
        """The queue for people, in its order, and the GPUs: made once for all that are shown."""
        facts = self.facts(time.monotonic(), strict=False)
        return Sight({place.key: place for place in waits.places(facts)}, facts.cards)

    def views(self) -> Iterator[RunView]:
        """All flights: those at work first, then the queue, in the order in which it is looked at."""
        sight = self.sight()
        order = {key: number for number, key in enumerate(sight.places)}

        def rank(flight: Flight) -> tuple[bool, int, int]:
            return flight.state == "queued", order.get(flight.key, -1), flight.active.seq

        for flight in sorted(self.flights.values(), key=rank):
            yield self.view(flight, sight)

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


def _may_end_session(flight: Flight) -> bool:
    """Its verdict is being made, and the next run of its experiment may not start any more after it."""
    if flight.state not in ("exited", "judged"):
        return False
    limits = flight.record.settings
    limited = (limits.plateau, limits.max_runs, limits.threshold) != (None, None, None)
    unclean = flight.exit is not None and bool(flight.exit.survivors)
    return limited or unclean or flight.active.wanted == "stop"


def _alone(flight: Flight) -> str | None:
    """Outputs outside the run's own folder: two runs of that experiment could not be told apart."""
    settings = flight.record.settings
    patterns = (settings.checkpoint_glob, settings.metric_path)
    shared = any(pattern is not None and "{run_dir}" not in pattern for pattern in patterns)
    return flight.key[0] if shared or settings.exec == "live" else None
