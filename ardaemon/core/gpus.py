"""GPUs as the rest of the program sees them: what NVML said at one moment, and what a run asks for.

Memory is in MiB everywhere (2**20 bytes). A value that NVML did not give is None, never 0.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, field

# Of a card's memory, beside what sharing runs declare: allocators of two of them never pack as one's does.
MARGIN_MB = 512.0
# free: nothing is on it. held: of this daemon's runs. foreign: something else computes on it, or its lease
# is another daemon's. quarantined: sick, or something lives there that could not be killed. unknown: NVML
# gave no answer, which never looks idle.
CardState = Literal["free", "held", "foreign", "quarantined", "unknown"]


class GpuProcess(Struct, frozen=True, kw_only=True):
    """One process that NVML names on one GPU."""

    pid: int
    used_mb: float | None = None  # None on WSL2, under MIG without rights, …
    graphics: bool = False


class GpuReading(Struct, frozen=True, kw_only=True):
    """One GPU, or one MIG instance, at one moment."""

    uuid: str
    index: int  # in PCI bus order; of the parent for a MIG instance
    name: str = ""
    parent: str | None = None  # UUID of the GPU that a MIG instance is a part of
    mig: bool = False  # it is in MIG mode: only its instances can be used, even if there are none
    total_mb: float | None = None
    used_mb: float | None = None  # without the driver's reserve, where NVML can tell them apart
    utilisation: float | None = None  # percent
    temperature: float | None = None  # degrees Celsius
    power_w: float | None = None
    throttled: str | None = None  # why its clocks are held down by heat or power brakes; None: they are not
    processes: tuple[GpuProcess, ...] | None = None  # None: NVML did not say, which is not "none"
    refused: int = 0  # entries with a pid that cannot be: somebody is there, nobody knows who
    fault: str | None = None  # NVML's error that makes this GPU unusable: "GPU_IS_LOST", …; "gone": not there
    error: str | None = None  # NVML's error because of which values are missing: unknown, not a fault yet
    xids: tuple[int, ...] = ()  # new since the last reading


class Inventory(Struct, frozen=True, kw_only=True):
    """All GPUs at one moment (CLOCK_MONOTONIC seconds).

    `ok`: NVML answered. `none`: no NVIDIA driver here, CPU mode. `unknown`: there is one and it does not
    answer; no launches on any GPU until it does.
    """

    state: Literal["ok", "none", "unknown"]
    at: float
    why: str = ""
    driver: str = ""
    gpus: tuple[GpuReading, ...] = ()

    @property
    def cards(self) -> tuple[GpuReading, ...]:
        """What can be given to a run: MIG instances in the place of the GPU that they divide."""
        parents = {gpu.parent for gpu in self.gpus}
        return tuple(gpu for gpu in self.gpus if gpu.uuid not in parents)


class Need(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one run asks for.

    `gpus` 0 is a CPU slot. With `share` its GPUs may be used by other sharing runs as well, and `vram_mb` is
    what it needs on each (declared, or learned); without, it has its GPUs alone.
    """

    gpus: int = 0
    vram_mb: float | None = None
    share: bool = False
    priority: int = 0
    # CUDA_VISIBLE_DEVICES of the caller: indices, UUIDs.
    allowed: tuple[str, ...] | None = field(default=None)


def is_allowed(index: int, uuid: str, allowed: Sequence[str]) -> bool:
    """Whether an allow-list names it: by index, by UUID or by the beginning of one, as CUDA has it."""
    return any(item == str(index) or (len(item) > len("GPU-") and uuid.startswith(item)) for item in allowed)
