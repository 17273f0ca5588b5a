"""The NVML worker process: what it is asked, what it answers, and how it is started."""

import importlib.util
from pathlib import Path

from msgspec import Struct

from ardaemon.core.gpus import GpuReading
from ardaemon.host import worker


class Want(Struct, frozen=True, kw_only=True):
    """The values that are wanted beyond memory, compute processes and utilisation."""

    thorough: bool = False  # temperature, power, throttling
    graphics: bool = False  # graphics processes: takes milliseconds

    def __or__(self, other: "Want") -> "Want":
        return Want(thorough=self.thorough or other.thorough, graphics=self.graphics or other.graphics)

    def covers(self, other: "Want") -> bool:
        """Return whether an answer to this one is also an answer to `other`."""
        return self | other == self


class NvmlAnswer(worker.WorkerAnswer, frozen=True):
    """One line of the worker's: the GPUs, or the error because of which NVML as a whole has failed."""

    failed: str | None = None
    driver: str = ""
    gpus: tuple[GpuReading, ...] = ()
    cpu_s: float = 0.0  # CPU time of the look


class NvmlProcess(worker.Worker[NvmlAnswer]):
    """An NVML worker process. It ends by itself when this process ends."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Start the process. Raises OSError."""
        super().__init__("NVML", "ardaemon.gpus.nvml_worker", NvmlAnswer, environment, _binding())

    async def look(self, want: Want, deadline: float) -> NvmlAnswer:
        """Ask for one look at the GPUs. Raises WorkerLost, and may be cancelled, as ask()."""
        return await self.ask({"thorough": want.thorough, "graphics": want.graphics}, deadline)


def _binding() -> str:
    """Return the folder where pynvml is, without importing it."""
    binding = importlib.util.find_spec("pynvml")
    if binding is None or binding.origin is None:
        raise FileNotFoundError("the package nvidia-ml-py is not installed")
    home = Path(binding.origin).parent
    return str(home.parent if binding.submodule_search_locations else home)  # older versions were a package
