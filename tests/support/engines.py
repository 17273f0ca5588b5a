"""A local engine without a daemon, and one attempt of a shell script under a real shim."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread

from ardaemon.core.layout import Host, Run
from ardaemon.core.queue import NOWHERE, Seat
from ardaemon.engines.base import Launch, Started
from ardaemon.engines.local.engine import LocalEngine
from ardaemon.gpus.lease import CardId, Lease, Leases, Taken
from tests.support.lab import DEADLINE_S, wait_until


class FolderLessor:
    """Leases GPUs in a folder; without a folder every GPU can be had."""

    def __init__(self, folder: Path | None = None, state: Path = Path("/state")) -> None:
        self.leases = Leases(folder, state)
        self.parents: dict[str, str] = {}  # MIG instance -> its GPU, by UUID

    async def lease(self, seat: Seat) -> Lease | Taken:
        """Take the GPUs of a seat, in a thread."""
        cards = [CardId(uuid, self.parents.get(uuid)) for uuid in seat.cards]
        return await anyio.to_thread.run_sync(self.leases.take, cards, seat.share)


class EngineWorld:
    """An engine and one attempt."""

    def __init__(self, root: Path, lessor: FolderLessor | None = None) -> None:
        self.root, self.lessor = root, lessor or FolderLessor()
        self.engine = LocalEngine(Host(root / "s", root / "r"), self.lessor, pids_max=None)
        self.run = Run(root / "r0001")
        self.handle = self.engine.handle(self.run, 1)
        Path(self.handle.folder).mkdir(parents=True)
        self.run.job.mkdir()

    async def start(self, script: str, seat: Seat = NOWHERE) -> Started | Taken | None:
        """Start the script under the spare shim."""
        return await self.engine.start(self.order(script, seat))

    def order(self, script: str, seat: Seat = NOWHERE, limit: float = 60.0) -> Launch:
        """What the engine is to start."""
        return Launch(
            run=self.run,
            handle=self.handle,
            argv=("/bin/sh", "-c", script),
            environment={"PATH": os.defpath, "AR_RUN_DIR": str(self.run.job), "AR_ATTEMPT": "1"},
            cwd=str(self.root),
            limit=limit,
            startup=None,
            ready_regex=None,
            stall=None,
            settle=0.0,
            grace=0.3,
            verify=5.0,
            seat=seat,
        )

    def kill_shim(self) -> None:
        """SIGKILL, and it is gone."""
        shim = self.engine.starter.children[self.handle.folder].process
        shim.kill()
        shim.wait(DEADLINE_S)

    async def until(self, reached: Callable[[], Any], what: str) -> None:
        """Wait on a condition while the event loop goes on."""
        await anyio.to_thread.run_sync(wait_until, reached, what)

    def close(self) -> None:
        """End everything."""
        self.engine.close()
        for path in Path("/proc").iterdir():
            if path.name.isdigit() and int(path.name) != os.getpid():
                try:
                    if f"AR_RUN_DIR={self.run.job}\0".encode() in (path / "environ").read_bytes():
                        os.kill(int(path.name), signal.SIGKILL)
                except OSError:
                    continue
        for child in self.engine.starter.children.values():
            child.process.kill()
            child.process.wait(DEADLINE_S)
        self.engine.forget(self.handle)
