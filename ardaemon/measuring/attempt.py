"""One attempt that is measured: its process tree, its meter and its file."""

from msgspec import Struct

from ardaemon.core.gpus import GpuReading
from ardaemon.core.layout import Attempt
from ardaemon.core.measured import Header, Measured
from ardaemon.core.model import Process
from ardaemon.host import state
from ardaemon.measuring import attribution, samples
from ardaemon.measuring.meter import Holders, Look, Meter, Watched
from ardaemon.measuring.usage import Tree

# A peak that rises by so much is on disk at once: a daemon that is killed then shall not lose it.
RISE = 1.01


class Job(Struct, frozen=True, kw_only=True):
    """What is measured, and for whom; `started` is CLOCK_MONOTONIC."""

    attempt: Attempt
    started: float
    header: Header = Header()  # peaks.header(inventory before the launch, cards); {} for a CPU slot
    roots: tuple[Process, ...] = ()
    supervisor: Process | None = None
    cgroup: str = ""
    alone: bool = True
    ignored: frozenset[int] = frozenset()
    max_vram_mb: float | None = None
    max_rss_mb: float | None = None

    @property
    def key(self) -> str:
        """The attempt's folder: what its processes bear in their environment."""
        return str(self.attempt.folder)

    @property
    def has_cards(self) -> bool:
        """Is NVML needed for it?"""
        return bool(self.header.cards)

    def watched(self, header: Header) -> Watched:
        """It as its meter sees it."""
        return Watched(
            folder=self.key,
            header=header,
            alone=self.alone,
            ignored=self.ignored,
            max_vram_mb=self.max_vram_mb,
            max_rss_mb=self.max_rss_mb,
        )

    def identity(self) -> attribution.Attempt:
        """How its processes are told."""
        above = (*self.roots, *([self.supervisor] if self.supervisor else []))
        pids = tuple(process.pid for process in above)
        return attribution.Attempt(folder=self.key, roots=pids, cgroup=self.cgroup)


class Scene(Struct, frozen=True, kw_only=True):
    """What one tick saw of the machine; CLOCK_MONOTONIC."""

    at: float
    gpus: tuple[GpuReading, ...] = ()
    holders: Holders
    thorough: bool = False
    swapped_pages_s: float | None = None


class Measuring:
    """Goes on from what an earlier daemon has written. For one thread at a time."""

    def __init__(self, job: Job) -> None:
        self.job, self.identity = job, job.identity()
        self.file = samples.SampleFile(job.attempt.samples, job.header)
        self.tree = Tree(job.roots, job.supervisor, job.cgroup)
        self.meter = Meter(job.watched(self.file.header))
        for sample in self.file.earlier:
            self.meter.add(sample)
        self._written = self._peaks()

    def take(self, scene: Scene) -> None:
        """One look."""
        used = self.tree.read(scene.at)
        look = Look(
            t=scene.at - self.job.started,
            gpus=scene.gpus,
            holders=scene.holders,
            rss_mb=used.rss_mb,
            cpu=used.cpu,
            thorough=scene.thorough,
            swapped_pages_s=scene.swapped_pages_s,
        )
        sample = self.meter.look(look)
        risen = any(
            now > before * RISE for now, before in zip(self._peaks(), self._written, strict=True)
        ) or bool(sample.foreign)
        self.file.add(sample, urgent=risen)
        if risen:
            self._written = self._peaks()

    def finish(self) -> Measured:
        """Write the rest, and measured.json durably; raises StorageError. May be called again."""
        self.file.close()
        measured = self.meter.measured()
        state.write(self.job.attempt.measured, measured)
        return measured

    def _peaks(self) -> tuple[int, int]:
        return self.meter.vram_mb or 0, self.meter.rss_mb or 0


def recall(attempt: Attempt, job: Job | None = None) -> Measured:
    """What was measured of an attempt that is over, by whatever daemon: measured.json, else of the samples.

    Raises CorruptState, UnknownSchema, StorageError.
    """
    found = state.read(attempt.measured, Measured)
    if found is not None:
        return found
    with state.storage("read", attempt.samples):
        header, earlier = samples.read(attempt.samples)
    asked = job or Job(attempt=attempt, started=0.0)
    meter = Meter(asked.watched(header or asked.header))
    for sample in earlier:
        meter.add(sample)
    return meter.measured()
