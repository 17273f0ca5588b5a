"""An Nvml of the daemon's that a test asks without `await`."""

import contextlib
from functools import partial
from pathlib import Path

from anyio.from_thread import BlockingPortal

from ardaemon.core.gpus import GpuReading, Inventory
from ardaemon.gpus.nvml import Limits, Nvml
from tests.support.lab import DEADLINE_S
from tests.support.nvml import FakeGpus

# No pause after a failure, and none without a driver: the next read tries again.
EAGER = Limits(first=DEADLINE_S, look=DEADLINE_S, respawn_first=0, probe=0)


def children() -> set[int]:
    """Of this process, zombies included."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found.update(map(int, (task / "children").read_text().split()))
    return found


class Asked:
    """An Nvml that a test asks without `await`."""

    def __init__(self, portal: BlockingPortal, fake: FakeGpus) -> None:
        self.portal = portal
        self.fake = fake
        self.before = children()
        self.heard: list[Inventory] = []
        self.limit(EAGER)

    def limit(self, limits: Limits) -> None:
        """Begin again, with other limits."""
        self.nvml = Nvml(self.heard.append, limits, self.fake.environment)

    def read(self, thorough: bool = False, graphics: bool = False) -> Inventory:
        return self.portal.call(partial(self.nvml.read, thorough=thorough, graphics=graphics))

    def gpu(self, index: int = 0) -> GpuReading:
        """That one, of an inventory that is whole."""
        found = self.read(thorough=True, graphics=True)
        assert found.state == "ok", found
        return next(gpu for gpu in found.gpus if gpu.index == index and gpu.parent is None)

    def reads(self, times: int) -> GpuReading:
        """The first GPU after so many looks."""
        return [self.gpu() for _ in range(times)][-1]

    @property
    def workers(self) -> set[int]:
        """Processes that are there because of it; zombies included."""
        return children() - self.before

    def worker(self) -> int:
        (pid,) = self.workers
        return pid
