"""The board: every run that is not committed, its place, and who wants to hear of it."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from msgspec.structs import replace

from ardaemon import waits
from ardaemon.core.config import QUEUE_MAX, Config
from ardaemon.core.errors import Overloaded
from ardaemon.core.gpus import Need, is_allowed
from ardaemon.core.layout import Experiment
from ardaemon.core.measured import Sample
from ardaemon.core.model import Handle
from ardaemon.core.protocol import RunView
from ardaemon.core.queue import AtWork, Facts, Key, Start, Waiting
from ardaemon.inventory import Gpus, Tenant
from ardaemon.pipeline import peaks
from ardaemon.pipeline.flight import Flight
from ardaemon.waits import Place

log = logging.getLogger("ardaemon.run")

Event = dict[str, Any]
AWAY = "a project that is away"
LAUNCH_S = 5.0  # from the decision to the job's first instruction, on a machine that swaps


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
        self.in_quarantine: dict[str, str] = {}  # slot name -> why nothing may be put there
        self.changed = anyio.Event()
        # Experiment's folder -> runs whose verdict a client has got. On disk with the next commit: after a
        # kill of the daemon a verdict may be told once more, never once less.
        self.heard: dict[str, set[str]] = {}
        self.claimed: dict[str, set[str]] = {}  # of these, what a `wait --any` has got
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

    def told_of(self, folder: Path) -> frozenset[str]:
        """The runs of that experiment whose verdict somebody has waited for."""
        return frozenset(self.heard.get(str(folder), ()))

    def hear(self, experiment: Experiment, run_id: str, untold: tuple[str, ...]) -> None:
        """A client got that verdict; what the session does not know any more need not be remembered."""
        remembered = {run_id, *untold, *(flight.run.run_id for flight in self.of(experiment))}
        for known in (self.heard, self.claimed):
            known[str(experiment.folder)] = known.get(str(experiment.folder), set()) & remembered
        self.heard[str(experiment.folder)].add(run_id)

    def claim(self, experiment: Experiment, run_id: str, untold: tuple[str, ...]) -> bool:
        """The same for `wait --any`; False where another one has that verdict."""
        taken = run_id in self.claimed.get(str(experiment.folder), ())
        self.hear(experiment, run_id, untold)
        self.claimed[str(experiment.folder)].add(run_id)
        return not taken

    # --- places ---

    def facts(self, now: float, strict: bool = True) -> Facts:
        """The queue and the machine, as the scheduler sees them; `strict`: by a look of this moment alone."""
        # A verdict may end the session: the next run of that experiment waits for it.
        judging = {f.key[0] for f in self.flights.values() if f.state in ("exited", "judged")}
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
            held=judging or flight.stands_still,
            alone_in=_alone(flight),
            alone="oom" in flight.again,
            unfit=self.gpus.unfit(flight.record.need),
        )

    def _need(self, flight: Flight) -> Need:
        """What it asks for, as far as that is known by now."""
        need = replace(flight.record.need, priority=flight.active.priority)
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
            f.state == "queued" and f.record.need.gpus and f.key not in self.seated and not f.stands_still
            for f in self.flights.values()
        )

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

    def standstill(self, flight: Flight) -> str | None:
        """Why such a run cannot start at all, where every place for it is in quarantine."""
        if not flight.record.need.gpus:
            names = {*self.slots}
            return "; ".join(self.in_quarantine.values()) if names <= self.in_quarantine.keys() else None
        allowed = flight.record.need.allowed
        cards = self.gpus.cards(self.tenants(), self.in_quarantine)
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
        """What it may see of the GPUs; a CPU run on a machine that has some sees none."""
        return tuple(map(self.gpus.device, cards)) if cards or self.gpus.known else None

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
            for slot in flight.slots:
                if slot not in self.slots and slot not in held:
                    self.gpus.released[slot] = now
        self.wake()

    # --- views and events ---

    def view(self, flight: Flight, places: dict[Key, Place] | None = None) -> RunView:
        """One flight with its place in the queue and what it waits for."""
        view = flight.view(**self._where(flight, places))
        gpus = tuple(gpu.index for gpu in self.gpus.known if gpu.uuid in flight.slots)
        sample = self.live(flight.handle) if flight.handle is not None else None
        if sample is None:
            return replace(view, gpus=gpus) if gpus else view
        return replace(view, gpus=gpus, vram_mb=sample.vram_mb, rss_mb=sample.rss_mb)

    def _where(self, flight: Flight, places: dict[Key, Place] | None) -> dict[str, Any]:
        if flight.state == "running" and flight.handle is not None:
            return {"why": self.waits(flight.handle)}
        if flight.state != "queued" or flight.key in self.seated:
            return {}
        if flight.held:
            return {"why": "its session is over: arctl session start"}
        if flight.active.held:
            return {"why": f"held: arctl queue release {flight.run.run_id}"}
        if (why := self.standstill(flight)) is not None:
            return {"why": why}
        if flight.record.need.gpus and self.gpus.inventory is None:
            return {"why": "the GPUs are being looked at"}
        place = (self.places() if places is None else places).get(flight.key)
        if place is None or place.position is None:
            return {"why": "the run before it is being judged"}
        return {"position": place.position, "why": place.why}

    def places(self) -> dict[Key, Place]:
        """The queue for people, in its order."""
        return {place.key: place for place in waits.places(self.facts(time.monotonic(), strict=False))}

    def views(self) -> Iterator[RunView]:
        """All flights: those at work first, then the queue, in the order in which it is looked at."""
        places = self.places()
        order = {key: number for number, key in enumerate(places)}

        def rank(flight: Flight) -> tuple[bool, int, int]:
            return flight.state == "queued", order.get(flight.key, -1), flight.active.seq

        for flight in sorted(self.flights.values(), key=rank):
            yield self.view(flight, places)

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
