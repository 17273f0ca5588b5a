"""Types for GPUs: the readings of one moment, and the need of one run.

Memory is in MiB everywhere (2**20 bytes). A value that NVML did not give is None, never 0.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, field

# MiB of a card that stay free beside what its sharing runs declare: the allocators of two processes never
# pack memory as tightly as one process does.
MARGIN_MB = 512.0
# free: nothing uses the card. held: runs of this daemon have it. foreign: something else computes on it, or
# another daemon has its lease. quarantined: the card is sick, or a process on it could not be killed.
# unknown: NVML gave no answer; the card is never taken for free then.
CardState = Literal["free", "held", "foreign", "quarantined", "unknown"]


class GpuProcess(Struct, frozen=True, kw_only=True):
    """A process that NVML reports on a GPU."""

    pid: int
    used_mb: float | None = None  # None on WSL2, under MIG without rights, …
    graphics: bool = False


class GpuReading(Struct, frozen=True, kw_only=True):
    """The state of one GPU, or of one MIG instance, at one moment."""

    uuid: str
    index: int  # in PCI bus order; of the parent for a MIG instance
    name: str = ""
    parent: str | None = None  # UUID of the GPU that a MIG instance is a part of
    mig: bool = False  # the GPU is in MIG mode: only its instances can be used, even if there are none
    total_mb: float | None = None
    used_mb: float | None = None  # without the driver's reserve, where NVML can tell them apart
    utilisation: float | None = None  # percent
    temperature: float | None = None  # degrees Celsius
    power_w: float | None = None
    throttled: str | None = None  # why heat or a power brake holds its clocks down; None: nothing does
    processes: tuple[GpuProcess, ...] | None = None  # None: NVML did not answer, so there may be some
    refused: int = 0  # entries whose pid cannot exist: some process uses the GPU, nobody knows which
    fault: str | None = None  # NVML's error that makes this GPU unusable: "GPU_IS_LOST", …; "gone": not there
    error: str | None = None  # NVML's error because of which values are missing: unknown, not a fault yet
    xids: tuple[int, ...] = ()  # new since the last reading


class Inventory(Struct, frozen=True, kw_only=True):
    """All GPUs of this host at one moment; `at` is in CLOCK_MONOTONIC seconds.

    `state` is `ok` where NVML answered, `none` where the host has no NVIDIA driver (CPU mode), and `unknown`
    where the driver does not answer: no run is launched on any GPU until it does.
    """

    state: Literal["ok", "none", "unknown"]
    at: float
    why: str = ""
    driver: str = ""
    gpus: tuple[GpuReading, ...] = ()
    cpu_s: float = 0.0  # CPU seconds of NVML's process for this look

    @property
    def cards(self) -> tuple[GpuReading, ...]:
        """The GPUs that a run can be given; MIG instances stand in place of the GPU that they divide."""
        parents = {gpu.parent for gpu in self.gpus}
        return tuple(gpu for gpu in self.gpus if gpu.uuid not in parents)

    @property
    def is_counted(self) -> bool:
        """Tell whether it is known how many GPUs there are."""
        return self.state in ("ok", "none")


class Need(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The GPUs and the memory that one run asks for.

    `gpus` 0 asks for a CPU slot. With `share` other sharing runs may use the same GPUs, and `vram_mb` is the
    MiB that the run needs on each of them (declared, or learned from earlier runs). Without `share` the run
    has its GPUs alone.
    """

    gpus: int = 0
    vram_mb: float | None = None
    share: bool = False
    priority: int = 0
    # CUDA_VISIBLE_DEVICES of the caller: indices, UUIDs.
    allowed: tuple[str, ...] | None = field(default=None)


def is_allowed(index: int, uuid: str, allowed: Sequence[str]) -> bool:
    """Return whether an allow-list names the GPU: by index, by UUID or by its beginning, as CUDA reads it."""
    return any(item == str(index) or (len(item) > len("GPU-") and uuid.startswith(item)) for item in allowed)
