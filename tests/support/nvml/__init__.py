"""GPUs that a test sets as it likes: a C library in the place of libnvidia-ml.so.1, under the real binding.

    fake = FakeGpus(lab.root / "gpus")
    fake.gpu(0, total=80000)
    fake.process(0, pid, 1200)  # is there, and its memory, for as long as that pid lives
    fake.write()
    lab.start(**fake.environment)

A change shows at the next `write()`, all of it at once. A test's own job allocates as a CUDA program would,
on the cards of its CUDA_VISIBLE_DEVICES, by the lines `fake.allocation(2000)` in its train.py.
"""

import functools
import itertools
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.compiler import build

SOURCE = Path(__file__).with_name("fake_nvml.c")
LIBRARY = "libnvidia-ml.so.1"
GONE_PID = 4194304  # one more than Linux ever gives (pid_max)

# nvml.h, nvmlReturn_t
UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = 1, 2, 3, 4, 6
DRIVER_NOT_LOADED, TIMEOUT, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST = 9, 10, 12, 13, 15
RESET_REQUIRED, MISMATCH, NO_DATA, VERSION_MISMATCH, GPU_NOT_FOUND, UNKNOWN = 16, 18, 21, 25, 28, 999

# Every call about one GPU that the worker makes at each tick: what a lost one fails.
ALL_CALLS = (
    "nvmlDeviceGetUUID nvmlDeviceGetName nvmlDeviceGetMemoryInfo_v2 nvmlDeviceGetMemoryInfo"
    " nvmlDeviceGetComputeRunningProcesses_v3 nvmlDeviceGetComputeRunningProcesses_v2"
    " nvmlDeviceGetUtilizationRates nvmlDeviceGetTemperature nvmlDeviceGetPowerUsage nvmlDeviceGetMigMode"
).split()

# What a train.py may hold: {claims} and {mib} are filled in. Its memory is its own until it ends.
ALLOCATION = (
    "import os\n"
    "for gpu in filter(None, os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',')):\n"
    "    part = f'{claims}/.{{os.getpid()}}.{{gpu}}'\n"
    "    with open(part, 'w') as file: file.write('{mib}')\n"
    "    os.rename(part, f'{claims}/{{os.getpid()}}.{{gpu}}')\n"
)


@functools.cache
def library(missing: tuple[str, ...] = ()) -> bytes:
    """The stand-in, built once; without the symbols `missing`, as an older driver's. Skips without gcc."""
    with tempfile.TemporaryDirectory() as name:
        target, script = Path(name, LIBRARY), Path(name, "symbols")
        hidden = "".join(f"{symbol}; " for symbol in missing)
        script.write_text(
            f"{{ global: nvml*; local: {hidden}*; }};\n" if missing else "{ global: nvml*; };\n"
        )
        flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f"-Wl,--version-script={script}"]
        build(*flags, "-o", target, SOURCE, "-ldl", "-lpthread")
        return target.read_bytes()


@dataclass
class Gpu:
    """One GPU or MIG instance, as it will be after the next write. MiB, percent, °C, watts."""

    uuid: str
    name: str = "NVIDIA Stand-in 80GB"
    total: int = 81920
    used: int = 0  # by nobody in particular; what processes hold comes on top
    reserved: int = 500  # the driver's own
    utilisation: int = 0
    temperature: int = 40
    power: float = 70.0
    throttle: int = 0  # nvmlClocksThrottleReasons bits
    mig: int = 0  # 0: it cannot; 1: enabled; 2: it could
    processes: list[tuple[int, int | None, bool, bool]] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)  # call -> "error CALL CODE", …
    xids: list[tuple[int, int]] = field(default_factory=list)
    instances: dict[int, "Gpu"] = field(default_factory=dict)

    def lines(self, word: str = "gpu") -> list[str]:
        """Its part of the state file."""
        return [
            f"{word} {self.uuid} {self.name}",
            f"memory {self.total} {self.used} {self.reserved}",
            f"utilisation {self.utilisation}",
            f"temperature {self.temperature}",
            f"power {round(self.power * 1000)}",
            f"throttle {self.throttle}",
            f"mig {self.mig}",
            *(
                f"{'graphics' if graphics else 'process'} {pid} {-1 if mib is None else mib} {int(ghost)}"
                for pid, mib, graphics, ghost in self.processes
            ),
            *self.faults.values(),
            *(f"xid {number} {sequence}" for number, sequence in self.xids),
            *(line for _, part in sorted(self.instances.items()) for line in part.lines("instance")),
        ]


class FakeGpus:
    """A machine's GPUs, in a folder of their own; `environment` makes a process see them."""

    def __init__(self, folder: Path, missing: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.claims = folder / "claims"
        self.claims.mkdir(parents=True)
        self.claims.chmod(0o777)  # jobs of other users too
        self.gpus: dict[int, Gpu] = {}
        self.driver = "570.86.15"
        self.faults: dict[str, str] = {}
        self._events = itertools.count(1)
        self.install(missing)
        self.write()

    @property
    def environment(self) -> dict[str, str]:
        """For a process that is to see these GPUs."""
        others = os.environ.get("LD_LIBRARY_PATH")
        return {"LD_LIBRARY_PATH": f"{self.folder}:{others}" if others else str(self.folder)}

    # --- GPUs ---

    def gpu(self, index: int, **values: object) -> Gpu:
        """Add GPU `index` (in PCI order), or change it: total, used, utilisation, … as Gpu has them."""
        found = self.gpus.get(index) or Gpu(f"GPU-{index:08d}-0000-0000-0000-000000000000")
        return self._set(self.gpus, index, found, values)

    def mig(self, index: int, instance: int, **values: object) -> Gpu:
        """Add or change a MIG instance of that GPU, which is in MIG mode from then on."""
        gpu = self.gpus[index]
        gpu.mig = 1
        uuid = f"MIG-{index:08d}-{instance:04d}-0000-0000-000000000000"
        found = gpu.instances.get(instance) or Gpu(uuid, f"{gpu.name} MIG 1g.10gb", total=9728, reserved=0)
        return self._set(gpu.instances, instance, found, values)

    @staticmethod
    def _set(where: dict[int, Gpu], index: int, gpu: Gpu, values: dict[str, object]) -> Gpu:
        unknown = values.keys() - vars(gpu).keys()
        assert not unknown, f"a GPU has no {unknown}"
        vars(gpu).update(values)
        where[index] = gpu
        return gpu

    def remove(self, index: int) -> None:
        """It is gone, as from the bus; those behind it move up."""
        del self.gpus[index]

    # --- processes ---

    def process(
        self,
        index: int,
        pid: int,
        mib: int | None,
        instance: int | None = None,
        graphics: bool = False,
        ghost: bool = False,
    ) -> None:
        """Let `pid` hold `mib` of it (None: NVML does not say) while it lives; a ghost stays for ever."""
        gpu = self.gpus[index] if instance is None else self.gpus[index].instances[instance]
        self.no_process(index, pid)
        gpu.processes.append((pid, mib, graphics, ghost))

    def no_process(self, index: int, pid: int) -> None:
        """Take it off the GPU and its instances."""
        for gpu in (self.gpus[index], *self.gpus[index].instances.values()):
            gpu.processes = [one for one in gpu.processes if one[0] != pid]

    def allocation(self, mib: int) -> str:
        """Lines of Python by which a job takes `mib` on each of its CUDA_VISIBLE_DEVICES until it ends."""
        return ALLOCATION.format(claims=self.claims, mib=mib)

    # --- trouble ---

    def error(self, call: str, code: int, gpu: int | None = None) -> None:
        """Let that NVML function fail, for one GPU or altogether."""
        self._faults(gpu)[call] = f"error {call} {code}"

    def lose(self, index: int, code: int = GPU_IS_LOST) -> None:
        """Every call about that GPU fails."""
        for call in ALL_CALLS:
            self.error(call, code, index)

    def hang(self, call: str, gpu: int | None = None) -> None:
        """Let that function never return; what is in it stays there, whatever is written later."""
        self._faults(gpu)[call] = f"hang {call}"

    def crash(self, call: str, gpu: int | None = None) -> None:
        """Let that function be a segmentation fault."""
        self._faults(gpu)[call] = f"crash {call}"

    def stuck(self, call: str, file: Path, gpu: int | None = None) -> None:
        """Let that function open a file of tests.support.stuck: even SIGKILL does not end who is in it."""
        self._faults(gpu)[call] = f"stuck {call} {file}"

    def garbage(self, call: str, gpu: int) -> None:
        """Let that list of processes have pids which cannot be, as driver 535 gave."""
        self._faults(gpu)[call] = f"garbage {call}"

    def heal(self, gpu: int | None = None) -> None:
        """End errors, hangs and crashes, of one GPU or of all and the whole."""
        for faults in [self._faults(gpu)] if gpu is not None else self._all_faults():
            faults.clear()

    def xid(self, index: int, number: int) -> None:
        """One event, for whoever listens by then."""
        self.gpus[index].xids.append((number, next(self._events)))

    def _faults(self, gpu: int | None) -> dict[str, str]:
        return self.faults if gpu is None else self.gpus[gpu].faults

    def _all_faults(self) -> list[dict[str, str]]:
        return [self.faults, *(gpu.faults for gpu in self.gpus.values())]

    # --- files ---

    def write(self) -> None:
        """Make all of it so, in one step."""
        whole = [f"driver {self.driver}", *self.faults.values()]
        gpus = [line for _, gpu in sorted(self.gpus.items()) for line in gpu.lines()]
        part = self.folder / "state.part"
        part.write_text("\n".join([*whole, *gpus, ""]))
        part.rename(self.folder / "state")

    def install(self, missing: tuple[str, ...] = ()) -> None:
        """Put the library there, or another build of it over the old one."""
        part = self.folder / "library.part"
        part.write_bytes(library(missing))
        part.rename(self.folder / LIBRARY)

    def uninstall(self) -> None:
        """The driver's library is gone from the disk."""
        (self.folder / LIBRARY).unlink()

    def listen(self) -> None:
        """From now on `calls()` has what is called; forgets what it had."""
        (self.folder / "calls").write_bytes(b"")

    def calls(self) -> list[str]:
        """Every "function UUID" that was called since `listen()`, by whatever process."""
        return (self.folder / "calls").read_text().splitlines()
