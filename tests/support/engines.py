"""A local engine without a daemon, and one attempt of a shell script under a real shim."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread

from ardaemon.core.layout import Host, Run
from ardaemon.engines.base import Launch, Started
from ardaemon.engines.local.engine import LocalEngine
from tests.support.lab import DEADLINE_S, wait_until


class EngineWorld:
    """An engine and one attempt."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.engine = LocalEngine(Host(root / "s", root / "r"), pids_max=None)
        self.run = Run(root / "r0001")
        self.handle = self.engine.handle(self.run, 1)
        Path(self.handle.folder).mkdir(parents=True)

    async def start(self, script: str) -> Started | None:
        """Start the script under the spare shim."""
        return await self.engine.start(self.order(script))

    def order(self, script: str, leases: tuple[int, ...] = (), limit: float = 60.0) -> Launch:
        """What the engine is to start."""
        return Launch(
            run=self.run,
            handle=self.handle,
            argv=("/bin/sh", "-c", script),
            environment={"PATH": os.defpath, "AR_RUN_DIR": str(self.run.folder), "AR_ATTEMPT": "1"},
            cwd=str(self.root),
            limit=limit,
            startup=None,
            ready_regex=None,
            stall=None,
            settle=0.0,
            grace=0.3,
            verify=5.0,
            leases=leases,
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
                    if f"AR_RUN_DIR={self.run.folder}\0".encode() in (path / "environ").read_bytes():
                        os.kill(int(path.name), signal.SIGKILL)
                except OSError:
                    continue
        for child in self.engine.starter.children.values():
            child.process.kill()
            child.process.wait(DEADLINE_S)
        self.engine.forget(self.handle)
