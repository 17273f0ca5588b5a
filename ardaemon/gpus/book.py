"""The daemon's book of the GPUs: turns NVML's readings into cards that the scheduler can give to runs.

A card's memory is reserved by what was decided for its runs, not by what happens to be in use: a run
that starts has allocated nothing yet. What NVML shows in use beyond that is taken off as well.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from ardaemon.core.gpus import MARGIN_MB, CardState, GpuReading, Inventory, Need
from ardaemon.core.measured import Holder
from ardaemon.core.queue import Card, Seat
from ardaemon.core.size import shown
from ardaemon.measuring import learned
from ardaemon.measuring.meter import Holders
from ardaemon.measuring.taint import computes

# No run is launched by a look that is older: somebody may have come since, and a new look costs a
# millisecond.
FRESH_S = 0.1
# MiB of a context of a program that NVML does not name (another container's), about; an idle card has less in
# use.
NAMELESS_MB = 500.0
DRAIN_S = 10.0  # a data loader's workers may hold a card's memory for this time after the trainer's end
NAMED_MAX = 3  # processes that a reason names


class Tenant(Struct, frozen=True, kw_only=True):
    """A run of this daemon on one card, and the seat with all its cards."""

    folder: str  # the attempt's
    seat: Seat


@dataclass
class GpuBook:
    """The state of all GPUs at the last look. Only code on the event loop may change it."""

    ignored: frozenset[int] = frozenset()  # pids that may be on any card
    ours: tuple[str, ...] | None = None  # config.toml: the GPUs that this daemon may use
    inventory: Inventory | None = None
    holders: Holders = field(default_factory=dict)
    seen: float = float("-inf")  # when the last look was over, CLOCK_MONOTONIC
    leased: dict[str, str] = field(default_factory=dict)  # UUID -> which other daemon has it, in words
    released: dict[str, float] = field(default_factory=dict)  # UUID -> when its last run left it

    def look(
        self, inventory: Inventory, holders: Holders, tenants: Mapping[str, list[Tenant]], now: float
    ) -> bool:
        """Take a new look at all GPUs; return whether a run that is over has given its memory back."""
        self.inventory, self.holders, self.seen = inventory, holders, now
        drained = [
            gpu.uuid
            for gpu in inventory.gpus
            if (since := self.released.get(gpu.uuid)) is not None
            and inventory.at > since
            and (inventory.at > since + DRAIN_S or self._is_drained(gpu, tenants.get(gpu.uuid, [])))
        ]
        for uuid in drained:
            del self.released[uuid]
        return bool(drained)

    def _is_drained(self, gpu: GpuReading, tenants: list[Tenant]) -> bool:
        """Return whether the runs that are over have left the card, with their processes and their memory."""
        there = self.holders.get(gpu.uuid)
        return not _left(there, tenants) and _nameless(gpu, there) < NAMELESS_MB

    def is_fresh(self, now: float) -> bool:
        """Return whether the last look is young enough for a launch; always true without a driver."""
        inventory = self.inventory
        return inventory is not None and (inventory.state == "none" or now - self.seen <= FRESH_S)

    @property
    def draining(self) -> bool:
        """True if a card waits until a run that is over has given its memory back."""
        return bool(self.released)

    @property
    def readings(self) -> tuple[GpuReading, ...]:
        """Every GPU that there is or was, as last read; MIG instances in place of the GPU they divide."""
        return self.inventory.cards if self.inventory is not None else ()

    def device(self, uuid: str) -> str:
        """Return the GPU's name for CUDA_VISIBLE_DEVICES: its index, in the order of nvidia-smi.

        If an index could mean another GPU, return the UUID: CUDA may leave out a sick GPU that NVML counts.
        """
        gpu = next((gpu for gpu in self.readings if gpu.uuid == uuid), None)
        sick = any(other.fault for other in self.readings)
        return uuid if gpu is None or gpu.parent is not None or sick else str(gpu.index)

    def unfit(self, need: Need) -> str | None:
        """Say why a run with this need can never start on this machine's GPUs; None if it can."""
        if need.gpus > 1 and self.readings and all(gpu.parent is not None for gpu in self.readings):
            return f"asks for {need.gpus} GPUs: a process sees one MIG instance at most (CUDA)"
        return None

    def learned(self, peaks: Mapping[str, tuple[float, ...]]) -> float | None:
        """Return the MiB that a run needs on whichever of the GPUs, by the peaks of earlier runs.

        Return None if no earlier run used one of the GPU models.
        """
        needs = [learned.need(peaks, model) for model in {gpu.name for gpu in self.readings}]
        by_model = [need for need in needs if need is not None]
        if not by_model or len(by_model) < len(needs):
            return None
        room = [gpu.total_mb - MARGIN_MB for gpu in self.readings if gpu.total_mb is not None]
        return min(max(by_model), max(room, default=max(by_model)))  # a run never gets more than a GPU has

    def cards(
        self, tenants: Mapping[str, list[Tenant]], sick: Mapping[str, str], now: float | None = None
    ) -> tuple[Card, ...]:
        """Return all GPUs as cards for the scheduler; `sick` has the reasons of GPUs in quarantine, by UUID.

        With `now`, a card that was not looked at just now is `unknown` where it would be `free`.
        """
        stale = now is not None and not self.is_fresh(now)
        return tuple(self._card(gpu, tenants.get(gpu.uuid, []), sick, stale) for gpu in self.readings)

    def _card(self, gpu: GpuReading, tenants: list[Tenant], sick: Mapping[str, str], stale: bool) -> Card:
        state, why = self._state(gpu, tenants, sick, stale)
        own = {tenant.folder for tenant in tenants}
        there = self.holders.get(gpu.uuid) or ()
        used = sum(holder.used_mb or 0.0 for holder in there if holder.owner in own)
        total = free = None
        if gpu.total_mb is not None and gpu.used_mb is not None:
            total = gpu.total_mb - MARGIN_MB - max(gpu.used_mb - used, 0.0)
            free = total - max(used, sum(tenant.seat.vram_mb or 0.0 for tenant in tenants))
        return Card(
            uuid=gpu.uuid,
            index=gpu.index,
            state=state,
            total_mb=total,
            free_mb=free,
            name=gpu.name,
            occupant=why,
        )

    def _state(
        self, gpu: GpuReading, tenants: list[Tenant], sick: Mapping[str, str], stale: bool
    ) -> tuple[CardState, str]:
        there = self.holders.get(gpu.uuid)
        if (why := sick.get(gpu.uuid) or sick.get(gpu.parent or "")) is not None:
            return "quarantined", why
        if gpu.fault is not None:
            return "quarantined", f"the driver says {gpu.fault}"
        if gpu.error is not None:
            return "unknown", f"the driver says {gpu.error}"
        if gpu.mig:
            return "quarantined", "it is in MIG mode and has no instance"
        if not self.is_ours(gpu):
            return "foreign", "config.toml leaves it to others (gpus)"
        if self.inventory is None or self.inventory.state != "ok":
            return "unknown", self.inventory.why if self.inventory is not None else "nobody has looked yet"
        if foreign := self.foreign(there):
            return "foreign", _named(foreign)
        if gpu.uuid in self.released:
            return "held", "the memory of the run before is being given back"
        if left := _left(there, tenants):
            return "foreign", f"left over from a run that is over: {_named(left)}"
        if tenants:
            return "held", ""
        return self._empty(gpu, there, stale)

    def _empty(self, gpu: GpuReading, there: tuple[Holder, ...] | None, stale: bool) -> tuple[CardState, str]:
        """Return the state of a card that has no run of this daemon."""
        if gpu.uuid in self.leased:
            return "foreign", self.leased[gpu.uuid]
        if gpu.refused:
            return "unknown", "the driver reports processes that cannot exist: nobody knows who uses it"
        if there is None and gpu.used_mb is None:
            return "unknown", "the driver tells neither who uses it nor how much memory is in use"
        nameless = _nameless(gpu, there)
        if nameless >= NAMELESS_MB:
            return "foreign", f"{shown(nameless)} are used by no process that can be seen"
        return ("unknown", "it is being looked at") if stale else ("free", "")

    def is_ours(self, gpu: GpuReading) -> bool:
        """Return whether config.toml lets this daemon use the GPU."""
        return self.ours is None or any(
            item == str(gpu.index) or gpu.uuid == item or gpu.parent == item for item in self.ours
        )

    def foreign(self, there: Iterable[Holder] | None) -> list[Holder]:
        """Return the processes that compute on a card and belong to no run of this daemon."""
        return [h for h in there or () if h.owner is None and computes(h) and h.pid not in self.ignored]


def _left(there: Iterable[Holder] | None, tenants: list[Tenant]) -> list[Holder]:
    """Return the processes of this daemon's runs that have no place on the card (any more)."""
    own = {tenant.folder for tenant in tenants}
    return [holder for holder in there or () if holder.owner is not None and holder.owner not in own]


def _nameless(gpu: GpuReading, there: Iterable[Holder] | None) -> float:
    """Return the MiB in use that no process accounts for; 0 if the use of some process is not known."""
    sizes = [holder.used_mb for holder in there or ()]
    if gpu.used_mb is None or None in sizes:
        return 0.0
    return gpu.used_mb - sum(size for size in sizes if size is not None)


def _named(holders: list[Holder]) -> str:
    more = f" and {len(holders) - NAMED_MAX} more" if len(holders) > NAMED_MAX else ""
    return "; ".join(holder.words() for holder in holders[:NAMED_MAX]) + more
