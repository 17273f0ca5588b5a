"""Placement: which run has which GPUs or CPU slot, and where nothing may be put."""

import time

from msgspec.structs import replace

from ardaemon.core.config import Config
from ardaemon.core.gpus import Need, is_allowed
from ardaemon.core.queue import Card, Key, Start, Stranger
from ardaemon.gpus.book import GpuBook, Tenant
from ardaemon.measuring import meter
from ardaemon.pipeline.flight import Flight


class Placement:
    """Changed by synchronous code of the event loop only: the loop is the lock."""

    def __init__(self, config: Config, gpus: GpuBook) -> None:
        self.gpus = gpus
        self.slots = tuple(f"cpu{number}" for number in range(config.cpu_slots))
        self.seated: dict[Key, Flight] = {}  # those that have their slots
        self.kept: Key | None = None  # whose the reservation was at the last decision
        self.strangers: list[Stranger] = []  # each takes a CPU slot
        self.unclean: dict[str, str] = {}  # slot name -> what lives there that could not be killed
        self.sick: dict[str, str] = {}  # UUID of a GPU -> what is wrong with it

    # --- what is taken ---

    def tenants(self) -> dict[str, list[Tenant]]:
        """UUID -> the runs that have it."""
        found: dict[str, list[Tenant]] = {}
        for flight in self.seated.values():
            folder = flight.handle.folder if flight.handle is not None else ""
            tenant = Tenant(folder=folder, share=flight.shares, vram_mb=flight.vram_mb or 0.0)
            for slot in flight.slots:
                found.setdefault(slot, []).append(tenant)
        return found

    def cards(self, now: float | None = None) -> tuple[Card, ...]:
        """All GPUs as they can be given away; with `now`, by a look of that moment alone."""
        return self.gpus.cards(self.tenants(), self.in_quarantine, now)

    def open_slots(self) -> tuple[str, ...]:
        """The CPU slots that are not in quarantine."""
        return tuple(slot for slot in self.slots if slot not in self.in_quarantine)

    @property
    def in_quarantine(self) -> dict[str, str]:
        """Slot name -> why nothing may be put there."""
        return {**self.sick, **self.unclean}

    def standstill(self, flight: Flight, cards: tuple[Card, ...] | None = None) -> str | None:
        """Why such a run cannot start at all, where every place for it is in quarantine."""
        if not flight.need.gpus:
            names = {*self.slots}
            return "; ".join(self.in_quarantine.values()) if names <= self.in_quarantine.keys() else None
        allowed = flight.need.allowed
        cards = self.cards() if cards is None else cards
        mine = [c for c in cards if allowed is None or is_allowed(c.index, c.uuid, allowed)]
        if not mine or any(card.state != "quarantined" for card in mine):
            return None
        return "; ".join(card.occupant for card in mine)

    def need(self, flight: Flight) -> Need:
        """What it asks for, as far as that is known by now."""
        need = replace(flight.need, priority=flight.active.priority)
        if need.share and need.vram_mb is None:
            return replace(need, vram_mb=self.gpus.learned(flight.peaks))
        return need

    # --- taking and giving back ---

    def occupy(self, flight: Flight, start: Start, now: float) -> None:
        """Give the run its place, at the moment of the decision."""
        flight.slots = start.cards or ((start.slot,) if start.slot is not None else ())
        flight.shares = start.share
        flight.vram_mb = self.need(flight).vram_mb if start.share else None
        flight.devices = self._devices(start.cards)
        if start.cards and self.gpus.inventory is not None:
            flight.header = meter.header(self.gpus.inventory, start.cards)
        flight.placed = now
        self.seated[flight.key] = flight

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
