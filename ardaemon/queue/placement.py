"""Placement: which run has which GPUs or CPU slot, and where nothing may be put."""

import time

from msgspec.structs import replace

from ardaemon.core.config import Config
from ardaemon.core.gpus import Need, is_allowed
from ardaemon.core.queue import CPU, Card, Key, Seat, Stranger
from ardaemon.gpus.book import GpuBook, Tenant
from ardaemon.measuring import meter
from ardaemon.pipeline.flight import Flight, Going


class Placement:
    """Know which run is where, and which places are closed.

    Changed by synchronous code of the event loop only: the loop is the lock.
    """

    def __init__(self, config: Config, gpus: GpuBook) -> None:
        self.gpus = gpus
        self.renew(config)
        self.seated: dict[Key, Flight] = {}  # those that have their slots
        self.kept: Key | None = None  # whose the reservation was at the last decision
        self.strangers: list[Stranger] = []  # each takes a CPU slot
        self.unclean: dict[str, str] = {}  # slot name -> what lives there that could not be killed
        self.sick: dict[str, str] = {}  # UUID of a GPU -> what is wrong with it

    def renew(self, config: Config) -> None:
        """Go by these settings from now on. A run whose place is no longer given away keeps it to its end."""
        self.slots = tuple(f"{CPU}{number}" for number in range(config.cpu_slots))
        self.gpus.ignored, self.gpus.ours = frozenset(config.ignore_pids), config.gpus

    # --- what is taken ---

    def is_waiting(self, flight: Flight) -> bool:
        """Tell whether the run waits for a place. One that has its place may still be "queued"."""
        return flight.state == "queued" and flight.key not in self.seated and not flight.is_cut_off

    def tenants(self) -> dict[str, list[Tenant]]:
        """Return the runs on each GPU, by its UUID."""
        tenants: dict[str, list[Tenant]] = {}
        for flight in self.seated.values():
            folder = flight.handle.folder if flight.handle is not None else ""
            tenant = Tenant(folder=folder, seat=flight.seat)
            for slot in flight.seat.slots:
                tenants.setdefault(slot, []).append(tenant)
        return tenants

    def cards(self, now: float | None = None) -> tuple[Card, ...]:
        """Return all GPUs as they can be given away; with `now`, by a look of that moment alone."""
        return self.gpus.cards(self.tenants(), self.in_quarantine, now)

    def open_slots(self) -> tuple[str, ...]:
        """Return the CPU slots that are not in quarantine."""
        closed = self.in_quarantine
        return tuple(slot for slot in self.slots if slot not in closed)

    @property
    def in_quarantine(self) -> dict[str, str]:
        """Return why nothing may be put in a slot, by the slot's name."""
        return {**self.sick, **self.unclean}

    def standstill(self, flight: Flight, cards: tuple[Card, ...] | None = None) -> str | None:
        """Return why the run cannot start whatever ends: fewer places than it needs are there and usable.

        None where waiting helps. `cards` are the GPUs, if the caller has looked at them already.
        """
        need = flight.need
        if not need.gpus:
            names = {*self.slots}
            return "; ".join(self.in_quarantine.values()) if names <= self.in_quarantine.keys() else None
        if (unfit := self.gpus.unfit(need)) is not None:
            return unfit
        mine = [
            (gpu, card)
            for gpu, card in zip(self.gpus.readings, self.cards() if cards is None else cards, strict=True)
            if need.allowed is None or is_allowed(card.index, card.uuid, need.allowed)
        ]
        if len(mine) < need.gpus:
            return self._too_few(need, len(mine))
        closed = [card for gpu, card in mine if card.state == "quarantined" or not self.gpus.is_ours(gpu)]
        if len(mine) - len(closed) >= need.gpus:
            return None
        named = (self.in_quarantine.get(c.uuid) or f"GPU {c.index}: {c.occupant}" for c in closed)
        return "; ".join(named)

    def _too_few(self, need: Need, count: int) -> str | None:
        inventory = self.gpus.inventory
        if inventory is None or not inventory.is_counted:
            return None  # the driver may name more, once it answers
        given = "there are" if need.allowed is None else "its CUDA_VISIBLE_DEVICES allows"
        return f"it asks for {need.gpus} GPUs, more than {given} ({count}): see arctl gpus"

    def need(self, flight: Flight) -> Need:
        """Return what the run asks for, with the memory that such runs have needed if it names none."""
        need = replace(flight.need, priority=flight.active.priority)
        if need.share and need.vram_mb is None:
            return replace(need, vram_mb=self.gpus.learned(flight.peaks))
        return need

    # --- taking and giving back ---

    def occupy(self, flight: Flight, seat: Seat, now: float) -> None:
        """Give the run its place, at the moment of the decision."""
        if seat.cards and self.gpus.inventory is not None:
            seat = replace(seat, header=meter.header(self.gpus.inventory, seat.cards))
        vram_mb = self.need(flight).vram_mb if seat.share else None
        seat = replace(seat, vram_mb=vram_mb, devices=self._devices(seat.cards))
        flight.going = Going(seat=seat, placed=now)
        self.seated[flight.key] = flight

    def _devices(self, cards: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return what the run may see of the GPUs: a CPU run nothing. None: there is no driver."""
        inventory = self.gpus.inventory
        return (
            None
            if inventory is not None and inventory.state == "none"
            else tuple(map(self.gpus.device, cards))
        )

    def occupy_any(self, flight: Flight) -> None:
        """Give its place to a run found running at start, whatever the scheduler would say."""
        flight.going = flight.going or Going()
        if not flight.seat.slots:  # launched by a version that did not write it down
            taken = {other.seat.slot for other in self.seated.values()}
            slot = next((slot for slot in self.slots if slot not in taken), self.slots[0])
            flight.going.seat = Seat(slot=slot)
        self.seated[flight.key] = flight

    def release(self, flight: Flight, was_used: bool = False) -> None:
        """Free the run's place: its processes are gone. A GPU is free once its memory is given back.

        `was_used`: also where no attempt was given to the engine.
        """
        if self.seated.pop(flight.key, None) is not None:
            now, tenants = time.monotonic(), self.tenants()
            used = was_used or flight.handle is not None  # else it was never there
            for uuid in flight.seat.cards if used else ():
                if uuid not in tenants:
                    self.gpus.released[uuid] = now
