"""The daemon's book of the GPUs: what NVML saw, less what is not ours to give, as cards for the scheduler.

Reserved is what was decided (the ledger), never what happens to be free: a run that starts has not allocated
yet. What NVML shows comes on top of it.
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

FRESH_S = (
    0.1  # nothing is launched by an older look: somebody may have come since, and one costs a millisecond
)
# A context of a program that NVML does not name (another container's) has about so much; an idle card less.
NAMELESS_MB = 500.0
DRAIN_S = 10.0  # a data loader's workers may hold a card's memory so long after the trainer's end
NAMED_MAX = 3  # processes that a reason names


class Tenant(Struct, frozen=True, kw_only=True):
    """A run of ours on one card, and where else it is."""

    folder: str  # of its attempt
    seat: Seat


@dataclass
class GpuBook:
    """What is known of all GPUs at this moment. Changed by code of the event loop only."""

    ignored: frozenset[int] = frozenset()  # pids that may be on any card
    ours: tuple[str, ...] | None = None  # config.toml: the GPUs that this daemon may use
    inventory: Inventory | None = None
    holders: Holders = field(default_factory=dict)
    seen: float = float("-inf")  # when the last look was over, CLOCK_MONOTONIC
    leased: dict[str, str] = field(default_factory=dict)  # UUID -> which other daemon has it
    released: dict[str, float] = field(default_factory=dict)  # UUID -> when its last run left it

    def look(
        self, inventory: Inventory, holders: Holders, tenants: Mapping[str, list[Tenant]], now: float
    ) -> bool:
        """One more look at all of them; True if the memory of a run that is over has been given back."""
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
        """No process of a run that is over is named there, and no memory is used by nobody."""
        there = self.holders.get(gpu.uuid)
        return not _left(there, tenants) and _nameless(gpu, there) < NAMELESS_MB

    def is_fresh(self, now: float) -> bool:
        """Was it looked at just now? Without a driver there is nothing to look at."""
        found = self.inventory
        return found is not None and (found.state == "none" or now - self.seen <= FRESH_S)

    @property
    def draining(self) -> bool:
        """Does a card wait for the memory of a run that is over?"""
        return bool(self.released)

    @property
    def known(self) -> tuple[GpuReading, ...]:
        """Every GPU there is, or was; MIG instances in the place of the GPU that they divide."""
        return self.inventory.cards if self.inventory is not None else ()

    def device(self, uuid: str) -> str:
        """The GPU as CUDA_VISIBLE_DEVICES names it: by its index, in the order of nvidia-smi.

        By UUID where an index could mean another one: CUDA may not count a sick GPU that NVML counts.
        """
        gpu = next((gpu for gpu in self.known if gpu.uuid == uuid), None)
        sick = any(other.fault for other in self.known)
        return uuid if gpu is None or gpu.parent is not None or sick else str(gpu.index)

    def unfit(self, need: Need) -> str | None:
        """Why such a run may never start here, by what only the machine knows."""
        if need.gpus > 1 and self.known and all(gpu.parent is not None for gpu in self.known):
            return f"asks for {need.gpus} GPUs: a process sees one MIG instance at most (CUDA)"
        return None

    def learned(self, peaks: Mapping[str, tuple[float, ...]]) -> float | None:
        """MiB that a run needs on whichever of the GPUs; None while one of their models is new to it."""
        needs = [learned.need(peaks, model) for model in {gpu.name for gpu in self.known}]
        found = [need for need in needs if need is not None]
        if not found or len(found) < len(needs):
            return None
        room = [gpu.total_mb - MARGIN_MB for gpu in self.known if gpu.total_mb is not None]
        return min(max(found), max(room, default=max(found)))  # more than a GPU has, it never gets

    def cards(
        self, tenants: Mapping[str, list[Tenant]], sick: Mapping[str, str], now: float | None = None
    ) -> tuple[Card, ...]:
        """All GPUs as they can be given away; `sick`: UUID -> why it is in quarantine."""
        stale = now is not None and not self.is_fresh(now)
        return tuple(self._card(gpu, tenants.get(gpu.uuid, []), sick, stale) for gpu in self.known)

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
        """None of our runs is there."""
        if gpu.uuid in self.leased:
            return "foreign", self.leased[gpu.uuid]
        if gpu.refused:
            return "unknown", "the driver names processes that cannot be: nobody knows who is on it"
        if there is None and gpu.used_mb is None:
            return "unknown", "the driver tells neither who is on it nor how much memory is used"
        nameless = _nameless(gpu, there)
        if nameless >= NAMELESS_MB:
            return "foreign", f"{shown(nameless)} are used by no process that can be seen"
        return ("unknown", "it is being looked at") if stale else ("free", "")

    def is_ours(self, gpu: GpuReading) -> bool:
        """May this daemon use it, by config.toml?"""
        return self.ours is None or any(
            item == str(gpu.index) or gpu.uuid == item or gpu.parent == item for item in self.ours
        )

    def foreign(self, there: Iterable[Holder] | None) -> list[Holder]:
        """Who computes on a card without being a run of ours."""
        return [h for h in there or () if h.owner is None and computes(h) and h.pid not in self.ignored]


def _left(there: Iterable[Holder] | None, tenants: list[Tenant]) -> list[Holder]:
    """Processes of runs of ours that have no place there (any more)."""
    own = {tenant.folder for tenant in tenants}
    return [holder for holder in there or () if holder.owner is not None and holder.owner not in own]


def _nameless(gpu: GpuReading, there: Iterable[Holder] | None) -> float:
    """MiB in use that no process accounts for; 0 where a process does not tell what it uses."""
    sizes = [holder.used_mb for holder in there or ()]
    if gpu.used_mb is None or None in sizes:
        return 0.0
    return gpu.used_mb - sum(size for size in sizes if size is not None)


def _named(holders: list[Holder]) -> str:
    more = f" and {len(holders) - NAMED_MAX} more" if len(holders) > NAMED_MAX else ""
    return "; ".join(holder.words() for holder in holders[:NAMED_MAX]) + more
