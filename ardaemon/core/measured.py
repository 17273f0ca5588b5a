"""Types for measurements: the lines of samples.jsonl, and measured.json, which sums them up.

Memory is in whole MiB, time in seconds since the attempt's start. A value that is not known is None, never 0.
"""

from typing import Literal

from msgspec import Struct

from ardaemon.core.model import Limit, Record
from ardaemon.core.reason import Reason

# process: NVML named the run's processes and their memory. device_delta: NVML did not, but the run had the
# card alone, so its memory is what the card uses beyond what it used before the launch. unknown: neither.
Source = Literal["process", "device_delta", "unknown"]
Taint = Literal["foreign_gpu_process", "thermal_throttling", "swapping"]


class Holder(Struct, frozen=True, kw_only=True):
    """A process on a GPU, and to whom it belongs."""

    pid: int
    used_mb: float | None = None
    graphics: bool = False
    owner: str | None = None  # folder of the attempt that the process belongs to; None: foreign
    user: str = ""
    name: str = ""
    known: bool = True  # False: not in our /proc (another pid namespace, hidepid, just ended)

    def words(self) -> str:
        """Describe the process for a person: `pid 812 (alice, python), 9.5 GiB`."""
        who = ", ".join(word for word in (self.user, self.name) if word)
        size = "" if self.used_mb is None else f", {self.used_mb / 1024:.1f} GiB"
        return f"{'pid' if self.known else 'unknown pid'} {self.pid}{f' ({who})' if who else ''}{size}"


class GivenCard(Struct, frozen=True, kw_only=True):
    """A GPU that was given to a run, as it was before the launch."""

    uuid: str
    index: int
    name: str = ""
    baseline_mb: float | None = None  # in use there before the launch


class Header(Record, frozen=True, kw_only=True):
    """The first line of samples.jsonl."""

    cards: tuple[GivenCard, ...] = ()
    before: tuple[int, ...] = ()  # pids that were on them before the launch
    width_s: float = 0.0  # samples within this many seconds are merged into one; 0: no sample is merged


class CardSample(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The values of one GPU of the run; `card` is its index in the header's list."""

    card: int
    run_mb: int | None
    by: Source = "process"
    used_mb: int | None = None
    utilisation: int | None = None
    temperature: int | None = None
    power_w: int | None = None


class Sample(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The values of one moment of a run.

    `n` > 1 samples were merged into it: `t` is the time of the first, each other value the maximum of them.
    """

    t: float
    n: int = 1
    vram_mb: int | None = None  # on all GPUs together; of merged samples the largest of the sums
    by: Source = "process"  # how vram_mb was measured
    elsewhere_mb: int = 0  # the part of vram_mb that lies on GPUs which are not the run's
    gpus: tuple[CardSample, ...] = ()
    rss_mb: int | None = None
    cpu: int | None = None  # percent of one core
    looks: int = 0  # how often heat and swapping were looked for; the next two: how often they were there
    throttled: int = 0
    swapping: int = 0
    foreign: str = ""  # the foreign process that came onto a card of the run, in words


class Breach(Struct, frozen=True, kw_only=True):
    """A run used more than its session allows."""

    limit: Limit
    used_mb: int
    most_mb: float

    def reason(self) -> Reason:
        """Return why the run is ended: `vram_limit 43210 MiB > 40000 MiB`."""
        return Reason(self.limit, f"{self.used_mb} MiB > {self.most_mb:.0f} MiB")


class CardPeak(Struct, frozen=True, kw_only=True):
    """The most memory that a run used on one GPU."""

    uuid: str
    index: int
    name: str
    peak_mb: int | None
    source: Source


class Measured(Record, frozen=True, kw_only=True):
    """The content of measured.json: what one attempt used, and whether it was measured under fair conditions.

    `peak_vram_mb` is the maximum over the samples of the sum over all GPUs of the run's process tree.
    `source` is None if the run was given no GPU.
    """

    peak_vram_mb: int | None = None
    source: Source | None = None
    cards: tuple[CardPeak, ...] = ()
    elsewhere_mb: int = 0  # the most memory on GPUs that the run was not given
    peak_rss_mb: int | None = None
    tainted: Taint | None = None
    tainted_why: str = ""
    limit: str | None = None  # the text of the Breach for which the daemon ended the attempt
    samples: int = 0
    gap_s: float = 0.0  # the longest time without a sample, as while the daemon was away
