"""What the daemon sees of the machine, and who has to know: the book of GPUs, the board, the runs at work."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
from msgspec.structs import replace

from ardaemon.board import Board
from ardaemon.core.config import Config
from ardaemon.core.errors import ArdaemonError, Refused, StorageError, UsageError
from ardaemon.core.gpus import GpuReading, Inventory
from ardaemon.core.layout import Attempt, Host, boot_id
from ardaemon.core.measured import Header, Measured, Sample
from ardaemon.core.model import Handle, Judged, Process, Record
from ardaemon.engines.base import Engine, Running, Unsupervised
from ardaemon.host import health, lease_folder, samples, state
from ardaemon.host.lease import Card, Lease, Leases, Taken
from ardaemon.host.nvml import Nvml
from ardaemon.pipeline import peaks
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.measuring import Job, recall
from ardaemon.sampling import Sampler, Tick

WAITING_EVERY_S = 1.0  # a run waits for a GPU that somebody else has: there is no event for "it is free"
DRAINING_EVERY_S = 0.1  # a run has just ended, and the next waits for its memory to be given back

RELEASED_S = 60.0  # for a reset or a change of MIG; nvidia-smi takes seconds
NONE_S = 60.0  # somebody may load a driver
END_S = 5.0  # then what is in the file has to do
FREE_STEP_MB = 64.0
REFUSED_MOST_S = 60.0
ON_IT = ("launching", "running", "exited")
LOOK_S = 2.0  # a client waits so long for a driver that is slow; then it gets what is known

Limit = Literal["vram_limit", "rss_limit"]
log = logging.getLogger("ardaemon.gpus")


class Sick(Record, frozen=True, kw_only=True):
    """sick.json: GPUs that take no run until a person has looked at them; a reboot heals."""

    boot_id: str
    gpus: dict[str, str]  # UUID -> why


class Overseer:
    """Changed by code of the event loop only."""

    def __init__(self, host: Host, config: Config, board: Board, engine: Engine) -> None:
        self.board, self.gpus, self.engine = board, board.placement.gpus, engine
        self.place = lease_folder.find(config.lease_folder)
        self.leases = Leases(self.place.folder, host.state)
        self.nvml = Nvml(heard=self._heard)
        self.sampler = Sampler(self.nvml.read, self.on_tick, self.nvml.stop, self.every)
        self.limit: Callable[[Flight, Limit], None] = lambda _flight, _limit: None
        self.sick_file = host.sick
        board.placement.sick = self._sick_before()
        self._refusals: dict[str, tuple[int, float]] = {}  # UUID -> times in a row, and when to try again
        self._known: object = None  # the cards at the last tick

    async def rest(self) -> None:
        """The daemon stops: what is held back of the samples is written."""
        await self.sampler.close()

    def close(self) -> None:
        """Let go of the driver."""
        self.nvml.close()

    # --- looks ---

    def every(self) -> float | None:
        """How often somebody who waits wants a look; None: nobody does."""
        if not self.board.wants_gpus():
            return None
        return DRAINING_EVERY_S if self.gpus.draining else WAITING_EVERY_S

    def on_tick(self, tick: Tick) -> None:
        """Take what a tick saw to whom it concerns."""
        if tick.inventory is not None:
            self._seen(tick.inventory, tick)
        for flight in list(self.board.flights.values()):
            if flight.handle is not None and (why := tick.breaches.get(flight.handle.folder)) is not None:
                self.limit(flight, "vram_limit" if why.startswith("vram_limit") else "rss_limit")

    def _seen(self, inventory: Inventory, tick: Tick) -> None:
        now, tenants = time.monotonic(), self.board.placement.tenants()
        waited = not self.gpus.is_fresh(now)
        freed = self.gpus.look(inventory, tick.holders, tenants, now)
        freed |= self._look_at_leases(now)
        cards = self.gpus.cards(tenants, self.board.placement.in_quarantine)
        # Memory in steps, so that not every megabyte is news.
        known = [(c.uuid, c.state, c.free_mb and c.free_mb // FREE_STEP_MB) for c in cards]
        if waited or freed or known != self._known:
            self._known = known
            self.board.wake_waiting()

    def _look_at_leases(self, now: float) -> bool:
        """Those that could not be had: can they now? True if one can."""
        free = [uuid for uuid in self.gpus.leased if self._is_free(uuid, now)]
        for uuid in free:
            del self.gpus.leased[uuid]
        return bool(free)

    def _is_free(self, uuid: str, now: float) -> bool:
        if now < self._refusals.get(uuid, (0, 0.0))[1]:
            return False
        parent = next((gpu.parent for gpu in self.gpus.known if gpu.uuid == uuid), None)
        why = self.leases.holder(Card(uuid, parent))
        if why is not None:
            self.gpus.leased[uuid] = why
        return why is None

    def _heard(self, inventory: Inventory) -> None:
        """Every answer of NVML, once, whoever asked: what a driver reports of an Xid, it reports once."""
        for gpu in inventory.gpus:
            why = health.quarantine_reason(gpu)
            for flight in self._on(gpu) if gpu.xids or why else ():
                notes = [*health.run_notes(gpu), *([why] if why else [])]
                flight.notes += tuple(note for note in notes if note not in flight.notes)
                flight.sick |= why is not None
            if why is not None and gpu.fault is None and gpu.uuid not in self.board.placement.sick:
                mend = f"look at it, then: arctl gpus --clear {gpu.index}"
                self._quarantine(gpu.uuid, f"GPU {gpu.index} is sick: {why}; {mend}")

    def _on(self, gpu: GpuReading) -> list[Flight]:
        """The runs on it, or on an instance of it, that are not judged yet."""
        parts = {gpu.uuid, *(other.uuid for other in self.gpus.known if other.parent == gpu.uuid)}
        flights = self.board.flights.values()
        return [f for f in flights if f.state in ON_IT and not parts.isdisjoint(f.slots)]

    # --- what is known ---

    async def look(self, thorough: bool = False) -> Inventory:
        """The GPUs as they are now, with who is on them; as they were last, where NVML takes too long."""
        self.sampler.ask()
        with anyio.move_on_after(LOOK_S):
            self.on_tick(await self.sampler.tick(thorough))
        found = self.gpus.inventory
        return found or Inventory(state="unknown", at=0.0, why=f"NVML has not answered for {LOOK_S:g} s")

    async def release(self) -> None:
        """Let go of the driver, so that a GPU can be reset; refused while a run needs it."""
        flights = [f for f in self.board.placement.seated.values() if self._cards(f)]
        busy = [f"{f.experiment.slug}/{f.run.run_id}" for f in flights]
        if busy:
            raise Refused(
                f"{', '.join(busy[:3])} on a GPU: the driver is needed", "wait for it, or arctl cancel"
            )
        await self.nvml.release(RELEASED_S)

    async def known(self) -> Inventory:
        """The GPUs there are; looked at only where that has not told yet (or of no driver, a minute ago)."""
        found = self.gpus.inventory
        told = found is not None and found.state != "unknown"
        if found is not None and told and (found.state == "ok" or time.monotonic() - found.at < NONE_S):
            return found
        return await self.look()

    async def usable(self) -> Inventory:
        """The same, less what config.toml leaves to others."""
        found = await self.known()
        return replace(found, gpus=tuple(gpu for gpu in found.gpus if self.gpus.is_ours(gpu)))

    def taught(self, flight: Flight) -> None:
        """A run was committed: those that wait may need less, or more, than was thought."""
        if isinstance(flight.record.state, Judged):
            for other in self.board.of(flight.experiment):
                other.peaks = flight.record.state.decision.peaks

    # --- sick GPUs ---

    def _sick_before(self) -> dict[str, str]:
        """Those that were sick under the daemon before."""
        try:
            found = state.read(self.sick_file, Sick)
        except ArdaemonError as error:  # they are noticed again, should they be sick still
            log.warning("unreadable", extra={"facts": {"why": str(error)}})
            return {}
        return dict(found.gpus) if found is not None and found.boot_id == boot_id() else {}

    def _quarantine(self, uuid: str, why: str) -> None:
        log.warning("quarantined", extra={"facts": {"gpu": uuid, "why": why}})
        self.board.placement.sick[uuid] = why
        self.board.wake_waiting()
        self._write_sick()

    async def clear(self, names: tuple[str, ...]) -> list[str]:
        """A person has looked at them: they may be used again. Raises UsageError for a name that is none."""
        wanted = [self._named(name) for name in names]
        lifted = [uuid for uuid in wanted if self.board.placement.sick.pop(uuid, None) is not None]
        for uuid in wanted:
            self.nvml.forget(uuid)
        if wanted:
            await self.nvml.stop()  # only a new nvmlInit sees a card that was reset
        if lifted:
            self._write_sick()
            self.board.wake_waiting()
        return lifted

    def _named(self, name: str) -> str:
        for gpu in self.gpus.inventory.gpus if self.gpus.inventory is not None else ():
            if name == gpu.uuid or (name == str(gpu.index) and gpu.parent is None):
                return gpu.uuid
        raise UsageError(f"there is no GPU {name[:80]!r}", "arctl gpus lists them")

    def _write_sick(self) -> None:
        try:
            state.write(self.sick_file, Sick(boot_id=boot_id(), gpus=self.board.placement.sick), 0o600)
        except StorageError as error:  # it holds while this daemon lives
            log.warning("not written", extra={"facts": {"why": str(error)}})

    # --- a run's place ---

    def lease(self, flight: Flight) -> Lease | Taken:
        """Its GPUs, against the daemons of other users. In a thread."""
        found = self.leases.take(self._cards(flight), flight.shares)
        if isinstance(found, Lease):
            for slot in flight.slots:
                self._refusals.pop(slot, None)
        return found

    def _cards(self, flight: Flight) -> list[Card]:
        parents = {gpu.uuid: gpu.parent for gpu in self.gpus.known}
        return [
            Card(slot, parents.get(slot)) for slot in flight.slots if slot not in self.board.placement.slots
        ]

    def refused(self, flight: Flight, taken: Taken) -> None:
        """Somebody else was faster: the run waits on, and says for whom.

        A lease that is our own, or whose file is not in order, shows to nobody when it is free again.
        """
        times = self._refusals.get(taken.uuid, (0, 0.0))[0]
        other = self.leases.holder(Card(taken.uuid)) is not None
        pause = 0.0 if other else min(WAITING_EVERY_S * 2**times, REFUSED_MOST_S)
        self._refusals[taken.uuid] = (0 if other else times + 1, time.monotonic() + pause)
        self.gpus.leased[taken.uuid] = taken.why
        self.board.told(flight, "lease refused", gpu=taken.uuid, why=taken.why)

    def found(self, flight: Flight) -> None:
        """A run that a daemon before us has started."""
        if flight.handle is not None and self._cards(flight):
            self.engine.hold(flight.handle, lambda: self.lease(flight))

    # --- measuring ---

    def live(self, handle: Handle) -> Sample | None:
        """What an attempt used at the last look."""
        return self.sampler.live(handle.folder)

    def begin(self, flight: Flight) -> None:
        """It runs: from now on it is measured. Raises StorageError while its folder is away."""
        assert flight.handle is not None
        shim: Process | None = None
        job: tuple[Process, ...] = ()
        group, started = "", flight.started
        match self.engine.probe(flight.handle):
            case Running(shim=shim, job=first, cgroup=group, monotonic=began):
                job, started = (first,) if first is not None else (), began or started
            case Unsupervised(processes=job):
                pass
            case _:
                return
        settings = flight.record.settings
        self.sampler.begin(
            Job(
                attempt=Attempt(Path(flight.handle.folder)),
                started=started if started is not None else time.monotonic(),
                header=self._header(flight),
                roots=job,
                supervisor=shim,
                cgroup=group,
                alone=not flight.shares,
                ignored=self.gpus.ignored,
                max_vram_mb=settings.max_vram,
                max_rss_mb=settings.max_rss,
            )
        )

    def _header(self, flight: Flight) -> Header:
        """Its GPUs as they were before the launch; by its file, where an earlier daemon launched it."""
        if flight.header.cards or flight.handle is None or not self._cards(flight):
            return flight.header
        known, _ = samples.read(Attempt(Path(flight.handle.folder)).samples)
        return known or peaks.header(self.gpus.inventory or Inventory(state="unknown", at=0.0), flight.slots)

    async def end(self, flight: Flight) -> Measured | None:
        """What was measured of it, on disk; None where nothing was. Raises ArdaemonError: call it again."""
        assert flight.handle is not None
        if self._cards(flight):
            await self.look()  # an Xid that came with its end is told once, and to who asks then
        attempt = Attempt(Path(flight.handle.folder))
        if not flight.restarted:
            with anyio.move_on_after(END_S):  # a process that hangs in the driver may hang who looks at it
                measured = await self.sampler.end(flight.handle.folder)
                if measured is not None:
                    return measured
        self.sampler.discard(flight.handle.folder)
        # After a power cut the samples may have lost their peaks; what was written at the end has not.
        if not (attempt.measured.exists() or (attempt.samples.exists() and not flight.restarted)):
            return None
        return await anyio.to_thread.run_sync(recall, attempt)

    def discard(self, flight: Flight) -> None:
        """It is given up: nobody wants to know."""
        if flight.handle is not None:
            self.sampler.discard(flight.handle.folder)
            self.engine.forget(flight.handle)
