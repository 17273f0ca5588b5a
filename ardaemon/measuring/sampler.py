"""The sampler: one loop that looks at the GPUs and at every run at work, and sleeps when there is none.

NVML is asked only for runs that have cards, and where somebody wants to see the GPUs (`ask`). So a machine
without a GPU, or with CPU runs alone, has no NVML worker. Ticks never overlap: the next one waits for a slow
one.
"""

import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread
from msgspec import Struct, field

from ardaemon.core.gpus import Inventory
from ardaemon.core.measured import Breach, Measured, Sample
from ardaemon.measuring import usage
from ardaemon.measuring.attempt import Job, Measuring, Scene
from ardaemon.measuring.attribution import Attribution, Suspect
from ardaemon.measuring.meter import Holders

YOUNG_S = 60.0  # a run allocates most of its memory in that time
YOUNG_EVERY_S = 0.25
AT_WORK_EVERY_S = 1.0
# Of a core, for all that a look costs: the daemon, NVML's process, their talk. A young run is looked at less
# often where that is much (a hundred processes, a slow driver), down to AT_WORK_EVERY_S.
COST_SHARE = 0.004
NEWEST_SHARE = 0.25  # of the newest tick in the average: each twentieth or so is thorough, and costs more
ASKED_EVERY_S = 5.0  # nothing runs, but somebody wants to see the GPUs
ASKED_FOR_S = 15.0  # one question keeps the loop going for so long
DISK_S = 1.0  # for a write; a run on a disk that takes longer misses samples, the others do not
THOROUGH_EVERY_S = 5.0  # temperature, power, swapping: they change slowly, and cost more
GRAPHICS_EVERY_S = 15.0  # listing graphics processes holds a lock in the driver for 4.5 ms
OVER_S = 15.0  # an ended run gives its cards' memory back within that time, or never
REST_S = 0.05  # between two ticks, however long the first one took and whoever asks

log = logging.getLogger("ardaemon.sampling")


class Read(Protocol):
    """`Nvml.read`, which has a deadline of its own and answers `unknown` after that."""

    def __call__(self, thorough: bool = False, graphics: bool = False) -> Awaitable[Inventory]: ...


class Tick(Struct, frozen=True, kw_only=True):
    """The GPUs, their holders and the broken limits, as one tick saw them."""

    inventory: Inventory | None = None  # None: NVML was not asked
    holders: Holders = field(default_factory=dict)
    breaches: dict[str, Breach] = field(default_factory=dict)  # by the attempt's folder


class Sampler:
    """Measures every run at work.

    The event loop changes it. A tick reads and writes in a thread, with `_busy` held.
    """

    def __init__(
        self,
        read: Read,
        on_tick: Callable[[Tick], None],
        rest: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint,
        waiting: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Take the callbacks.

        `rest` is called when there is nothing to look at; `waiting` tells how often the runs that wait for a
        GPU need a look, None if none waits.
        """
        self._read, self._on_tick, self._rest, self._waiting = read, on_tick, rest, waiting
        self._jobs: dict[str, Job] = {}
        self._measured: dict[str, Measuring] = {}
        self._attribution = Attribution()
        self._over: dict[str, tuple[float, Suspect]] = {}  # attempts that have ended, and when
        self._busy = anyio.Lock()
        self._ending: set[str] = set()  # attempts whose last samples are being written
        self._at_disk: set[str] = set()  # attempts whose file is at work in a thread, by their folder
        self._woken = anyio.Event()
        self._asked_at = float("-inf")
        self._thorough_at = self._graphics_at = float("-inf")
        self._swapped: tuple[float, int] | None = None
        self._failing = False
        self._cost = 0.0  # CPU seconds of a tick, as a moving average

    # --- who ---

    def begin(self, job: Job) -> None:
        """Measure this attempt from now on: it has started, or was at work when the daemon started."""
        self._jobs[job.key] = job
        self.wake()

    def ask(self) -> None:
        """Keep looking at the GPUs for a while: somebody wants to see them, or waits for one."""
        self._asked_at = time.monotonic()
        self.wake()

    def wake(self) -> None:
        """Make the loop look now."""
        self._woken.set()
        self._woken = anyio.Event()

    def live(self, key: str) -> Sample | None:
        """Return the latest sample of an attempt at work; None if there is none."""
        measuring = self._measured.get(key)
        return measuring.meter.latest if measuring is not None else None

    async def end(self, key: str) -> Measured | None:
        """Finish an attempt that is over: its measured.json is on disk when this returns.

        Raises StorageError; then call again. Returns None for an attempt that never began here:
        attempt.recall tells what an earlier daemon measured.
        """
        async with self._busy:
            job, measuring = self._jobs.get(key), self._measured.pop(key, None)
        if job is None:
            return None
        # `_busy` is not held any more: the disk may hang. The last processes are still no foreign ones.
        self._over[key] = (math.inf, job.suspect())
        self._ending.add(key)
        try:
            if measuring is None:
                measuring = await anyio.to_thread.run_sync(Measuring, job)
            measured = await anyio.to_thread.run_sync(measuring.finish)
        except BaseException:
            if measuring is not None and key in self._jobs:
                self._measured[key] = measuring
            raise
        finally:
            self._ending.discard(key)
        self.discard(key)
        return measured

    def discard(self, key: str) -> None:
        """Stop measuring an attempt. For a while its last processes are still told from foreign ones."""
        job = self._jobs.pop(key, None)
        if job is not None:
            self._over[key] = (time.monotonic(), job.suspect())
        self._measured.pop(key, None)

    async def close(self) -> None:
        """Write the samples that are held back: the daemon stops, and the runs go on."""
        async with self._busy:
            await self._at_disks({key: measuring.file.close for key, measuring in self._measured.items()})

    # --- when ---

    async def loop(self) -> None:
        """Tick for ever."""
        while True:
            woken, begun = self._woken, time.monotonic()
            every = self.interval(begun)
            if every is None:
                await self._rest()
                await woken.wait()
                continue
            await self._survive()
            await anyio.sleep(REST_S)
            with anyio.move_on_after(max(begun + every - time.monotonic(), 0)):
                await woken.wait()

    def interval(self, now: float) -> float | None:
        """Return the seconds between ticks at this moment; None if there is nothing to look at."""
        intervals = [every] if (every := self._waiting()) is not None else []
        if any(now - job.started < YOUNG_S for job in self._jobs.values()):
            intervals.append(min(max(YOUNG_EVERY_S, self._cost / COST_SHARE), AT_WORK_EVERY_S))
        if self._jobs:
            intervals.append(AT_WORK_EVERY_S)
        if self._asked(now):
            intervals.append(ASKED_EVERY_S)
        return min(intervals, default=None)

    def _asked(self, now: float) -> bool:
        return now - self._asked_at < ASKED_FOR_S

    # --- what ---

    async def _survive(self) -> None:
        spent = time.process_time()
        try:
            tick = await self.tick()
            self._on_tick(tick)
            self._cost += (_cost(spent, tick.inventory) - self._cost) * NEWEST_SHARE
            self._failing = False
        except Exception as error:  # samples are only a view: the daemon and its runs go on
            if not self._failing:
                log.warning("no sample", exc_info=error)
            self._failing = True

    async def tick(self, thorough: bool = False) -> Tick:
        """Look once at everything; with `thorough` at heat, power and swapping, even if they are not due."""
        now = time.monotonic()
        thorough = thorough or _due(now, self._thorough_at, THOROUGH_EVERY_S)
        inventory = None
        wanted = self._asked(now) or self._waiting() is not None
        if wanted or any(job.has_cards for job in self._jobs.values()):
            graphics = _due(now, self._graphics_at, GRAPHICS_EVERY_S)
            self._graphics_at = now if graphics else self._graphics_at
            inventory = await self._read(thorough=thorough, graphics=graphics)
        self._thorough_at = now if thorough else self._thorough_at
        async with self._busy:  # not held while NVML is asked: a run's end does not wait for a hung driver
            known = self._measured.keys() | self._ending
            new = [job for key, job in self._jobs.items() if key not in known]
            await self._at_disks({job.key: partial(self._open, job) for job in new})
            holders = await anyio.to_thread.run_sync(self._take, inventory, thorough)
            await self._at_disks({key: m.write for key, m in self._measured.items() if m.due})
            breaches = {key: measuring.meter.breach() for key, measuring in self._measured.items()}
        passed = {key: breach for key, breach in breaches.items() if breach is not None}
        return Tick(inventory=inventory, holders=holders, breaches=passed)

    async def _at_disks(self, work: Mapping[str, Callable[[], None]]) -> None:
        """Do the work of each attempt, by its key, on its own disk; one that hangs is left to itself.

        Nothing else is done there until its thread is back.
        """
        async with anyio.create_task_group() as tasks:
            for key, task in work.items():
                if key not in self._at_disk:
                    self._at_disk.add(key)
                    tasks.start_soon(self._at_its_disk, key, task)

    async def _at_its_disk(self, key: str, work: Callable[[], None]) -> None:
        def done() -> None:
            try:
                work()
            finally:
                self._at_disk.discard(key)

        with anyio.move_on_after(DISK_S):
            await anyio.to_thread.run_sync(done, abandon_on_cancel=True)

    def _open(self, job: Job) -> None:
        measuring = Measuring(job)
        if self._jobs.get(job.key) is job:  # it may be over by now
            self._measured[job.key] = measuring

    def _take(self, inventory: Inventory | None, thorough: bool) -> Holders:
        """Take a sample of every attempt at work. Runs in a thread."""
        now = time.monotonic()
        gpus = inventory.gpus if inventory is not None and inventory.state == "ok" else ()
        at_work = list(self._measured.values())
        self._over = {key: seen for key, seen in self._over.items() if now - seen[0] < OVER_S}
        suspects = [*(m.suspect for m in at_work), *(suspect for _, suspect in self._over.values())]
        holders = self._attribution.holders(gpus, suspects)
        scene = Scene(
            at=now,
            gpus=gpus,
            holders=holders,
            thorough=thorough,
            swapped_pages_s=self._swapping(now) if thorough else None,
        )
        for measuring in at_work:
            measuring.take(scene)
        return holders

    def _swapping(self, now: float) -> float | None:
        """Return the pages swapped per second since the last thorough look; None if there was none."""
        pages, last = usage.swapped_pages(), self._swapped
        self._swapped = None if pages is None else (now, pages)
        if pages is None or last is None or now <= last[0]:
            return None
        return (pages - last[1]) / (now - last[0])


def _cost(spent: float, inventory: Inventory | None) -> float:
    """Return the CPU seconds of a tick that began when this process had `spent` so many.

    What else the daemon did meanwhile is in it: a tick takes milliseconds, and the daemon mostly waits.
    """
    asked = inventory.cpu_s if inventory is not None else 0.0
    return time.process_time() - spent + asked


def _due(now: float, last: float, every: float) -> bool:
    # Half a tick early rather than half a tick late.
    return now - last >= every - YOUNG_EVERY_S / 2
