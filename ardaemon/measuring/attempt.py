"""The measuring of one attempt: a process tree, a meter and a file of samples."""

from msgspec import Struct

from ardaemon.core.gpus import GpuReading
from ardaemon.core.layout import Attempt
from ardaemon.core.measured import Header, Measured
from ardaemon.core.model import Process
from ardaemon.host import state
from ardaemon.measuring import samples
from ardaemon.measuring.attribution import Suspect
from ardaemon.measuring.meter import Holders, Look, Meter, Watched
from ardaemon.measuring.usage import ProcessTree

# A peak that has risen by so much since the last write goes to disk at once, in case the daemon is killed.
RISE = 1.01


class Job(Struct, frozen=True, kw_only=True):
    """An attempt to measure. `started` is in CLOCK_MONOTONIC seconds."""

    attempt: Attempt
    started: float
    header: Header = Header()  # the cards before the launch, made by meter.header(); empty for a CPU run
    roots: tuple[Process, ...] = ()  # whose descendants are the attempt's as well
    supervisor: Process | None = None  # the shim: its descendants count, the shim itself does not
    cgroup: str = ""
    alone: bool = True  # no other run of this daemon may be on the cards
    ignored: frozenset[int] = frozenset()  # pids that may be on the cards
    max_vram_mb: float | None = None
    max_rss_mb: float | None = None

    @property
    def key(self) -> str:
        """The attempt's folder, which its processes have in their environment."""
        return str(self.attempt.folder)

    @property
    def has_cards(self) -> bool:
        """Return whether the attempt was given GPUs, so that NVML is needed."""
        return bool(self.header.cards)

    def watched(self, header: Header) -> Watched:
        """Return what the meter needs to know of the attempt."""
        return Watched(
            folder=self.key,
            header=header,
            alone=self.alone,
            ignored=self.ignored,
            max_vram_mb=self.max_vram_mb,
            max_rss_mb=self.max_rss_mb,
        )

    def suspect(self) -> Suspect:
        """Return what tells the attempt's processes from others."""
        above = (*self.roots, *([self.supervisor] if self.supervisor else []))
        pids = tuple(process.pid for process in above)
        return Suspect(folder=self.key, roots=pids, cgroup=self.cgroup)


class Scene(Struct, frozen=True, kw_only=True):
    """The machine as one tick saw it, for all attempts alike."""

    at: float  # CLOCK_MONOTONIC seconds
    gpus: tuple[GpuReading, ...] = ()
    holders: Holders
    thorough: bool = False  # heat and swapping were looked for
    swapped_pages_s: float | None = None


class Measuring:
    """Measures one attempt, from where an earlier daemon stopped. For one thread at a time."""

    def __init__(self, job: Job) -> None:
        self.job, self.suspect = job, job.suspect()
        self.file = samples.SampleFile(job.attempt.samples, job.header)
        self.tree = ProcessTree(job.roots, job.supervisor, job.cgroup)
        self.meter = Meter(job.watched(self.file.header))
        for sample in self.file.earlier:
            self.meter.add(sample)
        self._written = self._peaks()

    def take(self, scene: Scene) -> None:
        """Take one sample, without a look at the disk: write() does that."""
        usage = self.tree.read(scene.at)
        look = Look(
            t=scene.at - self.job.started,
            gpus=scene.gpus,
            holders=scene.holders,
            rss_mb=usage.rss_mb,
            cpu=usage.cpu,
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

    @property
    def due(self) -> bool:
        """Tell whether samples wait to be written."""
        return self.file.due

    def write(self) -> None:
        """Write the samples that are due."""
        self.file.flush()

    def finish(self) -> Measured:
        """Write the last samples, and measured.json durably. Raises StorageError; then call again."""
        self.file.close()
        measured = self.meter.measured()
        state.write(self.job.attempt.measured, measured)
        return measured

    def _peaks(self) -> tuple[int, int]:
        return self.meter.vram_mb or 0, self.meter.rss_mb or 0


def recall(attempt: Attempt, job: Job | None = None) -> Measured:
    """Return what was measured of an attempt that is over: from measured.json, else made of its samples.

    Raises CorruptState, UnknownSchema, StorageError.
    """
    measured = state.read(attempt.measured, Measured)
    if measured is not None:
        return measured
    with state.storage("read", attempt.samples):
        header, earlier = samples.read(attempt.samples)
    job = job or Job(attempt=attempt, started=0.0)
    meter = Meter(job.watched(header or job.header))
    for sample in earlier:
        meter.add(sample)
    return meter.measured()
