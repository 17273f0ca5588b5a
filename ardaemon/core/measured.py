"""What was measured of a run: the samples as they stand in samples.jsonl, and what is made of them.

Memory is in whole MiB, time in seconds since the attempt's start. A value that is not known is None, never 0.
"""

from typing import Literal

from msgspec import Struct

from ardaemon.core.model import Record

# process: NVML named the run's processes and their memory. device_delta: it did not, and the run had the card
# alone: what the card uses beyond what it used before the launch. unknown: neither.
Source = Literal["process", "device_delta", "unknown"]
Taint = Literal["foreign_gpu_process", "thermal_throttling", "swapping"]


class Holder(Struct, frozen=True, kw_only=True):
    """A process on a GPU, and whose it is."""

    pid: int
    used_mb: float | None = None
    graphics: bool = False
    owner: str | None = None  # folder of the attempt that it belongs to; None: foreign
    user: str = ""
    name: str = ""
    known: bool = True  # False: not in our /proc (another pid namespace, hidepid, just ended)

    def words(self) -> str:
        """It as a person wants to read it: `pid 812 (alice, python), 9.5 GiB`."""
        who = ", ".join(word for word in (self.user, self.name) if word)
        size = "" if self.used_mb is None else f", {self.used_mb / 1024:.1f} GiB"
        return f"{'pid' if self.known else 'unknown pid'} {self.pid}{f' ({who})' if who else ''}{size}"


class GivenCard(Struct, frozen=True, kw_only=True):
    """A GPU that a run was given, as it was before the launch."""

    uuid: str
    index: int
    name: str = ""
    baseline_mb: float | None = None  # in use there before the launch


class Header(Record, frozen=True, kw_only=True):
    """The first line of samples.jsonl."""

    cards: tuple[GivenCard, ...] = ()
    before: tuple[int, ...] = ()  # pids that were on them before the launch
    width_s: float = 0.0  # all samples of that long are merged into one; 0: none is


class CardSample(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One GPU of the run; `card` is its place in the header's list."""

    card: int
    run_mb: int | None
    by: Source = "process"
    used_mb: int | None = None
    utilisation: int | None = None
    temperature: int | None = None
    power_w: int | None = None


class Sample(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One look at a run; of merged ones (`n` > 1) the first one's time, and the maximum of each value."""

    t: float
    n: int = 1
    vram_mb: int | None = None  # on all GPUs together; of merged ones the largest of the sums
    by: Source = "process"  # vram_mb
    elsewhere_mb: int = 0  # of vram_mb, on GPUs that are not the run's
    gpus: tuple[CardSample, ...] = ()
    rss_mb: int | None = None
    cpu: int | None = None  # percent of one core
    looks: int = 0  # how often heat and swapping were looked at,
    throttled: int = 0  # and found
    swapping: int = 0
    foreign: str = ""  # who came onto a card of the run


class CardPeak(Struct, frozen=True, kw_only=True):
    """The most of one GPU that a run used."""

    uuid: str
    index: int
    name: str
    peak_mb: int | None
    source: Source


class Measured(Record, frozen=True, kw_only=True):
    """measured.json: what one attempt needed, and whether that was under fair conditions.

    `peak_vram_mb` is the maximum over the samples of the sum over all GPUs of the run's process tree;
    `source` is None where the run was given no GPU.
    """

    peak_vram_mb: int | None = None
    source: Source | None = None
    cards: tuple[CardPeak, ...] = ()
    elsewhere_mb: int = 0  # the most on GPUs that it was not given
    peak_rss_mb: int | None = None
    tainted: Taint | None = None
    tainted_why: str = ""
    limit: str | None = None  # "vram_limit 43210 MiB > 40000 MiB": the daemon ended it for that
    samples: int = 0
    gap_s: float = 0.0  # the longest time without a sample, as while the daemon was away
