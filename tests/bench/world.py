"""A daemon, projects and a home of the benchmark's own, in one folder that is removed at the end."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ardaemon.core.layout import Experiment, Project
from ardaemon.core.protocol import PROTOCOL

BIN = Path(sys.executable).parent
SLUG = "260101-bench"
# The smallest script that has a metric: what is measured is everything around it.
NO_OP = 'print("val/loss: 0.5")\n'
COMMAND_S = 120.0  # for one command of arctl; the slowest here takes a second
WAIT_S = 30.0  # for a file or a process to be there


class BenchError(Exception):
    """Something did not work, so there is nothing to measure."""


@dataclass(frozen=True)
class Timed:
    """One finished command."""

    ms: float
    code: int
    output: bytes


class World:
    """The folder, and what can be done in it. A context manager."""

    def __init__(self) -> None:
        # Not /tmp: that is often memory, where a durable write costs nothing.
        self.folder = Path(tempfile.mkdtemp(prefix="arb-", dir="/var/tmp"))
        self.environment = self._environment()
        self.experiments: dict[str, Experiment] = {}

    def _environment(self) -> dict[str, str]:
        own = {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "AR_NONINTERACTIVE": "1"}
        folders = {"HOME": "h", "XDG_STATE_HOME": "s", "XDG_RUNTIME_DIR": "r", "XDG_CONFIG_HOME": "c"}
        for name, folder in folders.items():
            (self.folder / folder).mkdir(mode=0o700)
            own[name] = str(self.folder / folder)
        return {k: v for k, v in os.environ.items() if not k.startswith("AR_")} | own

    def __enter__(self) -> "World":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(
            [str(BIN / "arctl"), "daemon", "stop"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            timeout=COMMAND_S,
            check=False,
        )
        shutil.rmtree(self.folder, ignore_errors=True)

    def time(self, command: list[str], folder: Path, environment: dict[str, str] | None = None) -> Timed:
        """Run a command to its end; wall time from before its start to after its end."""
        began = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment or self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_S,
            check=False,
        )
        return Timed((time.perf_counter() - began) * 1000, done.returncode, done.stdout)

    def arctl(self, project: str, *arguments: str, environment: dict[str, str] | None = None) -> Timed:
        """Run arctl in a project. Raises BenchError if it fails."""
        done = self.time([str(BIN / "arctl"), *arguments], self.project(project), environment)
        if done.code:
            raise BenchError(f"arctl {' '.join(arguments)}: exit code {done.code}\n{done.output.decode()}")
        return done

    def project(self, name: str) -> Path:
        return self.folder / name

    def create(self, name: str, script: str = NO_OP) -> Experiment:
        """A project with one experiment and a live session."""
        project = self.project(name)
        project.mkdir()
        (project / "train.py").write_text(script)
        self.arctl(
            name,
            "init",
            SLUG,
            "--train",
            "train.py",
            *("--primary-metric", "val/loss"),
            *("--primary-direction", "min"),
            *("--goal", "measure"),
        )
        self.arctl(
            name,
            "session",
            "start",
            "--seconds",
            "600",
            "--runner",
            "python train.py",
            "--max-runs",
            "1000000",
        )
        self.experiments[name] = Project(project).experiment(SLUG)
        return self.experiments[name]

    def edit(self, name: str, number: int) -> None:
        """Make a candidate of its own, with the same outcome."""
        self.experiments[name].train.write_text(f"{NO_OP}candidate = {number}\n")

    def daemon(self) -> dict[str, Any]:
        """pid, version, socket, uptime_s, active."""
        found = self.time([str(BIN / "arctl"), "daemon", "status", "--json"], self.folder)
        answer = json.loads(found.output)
        assert isinstance(answer, dict)
        return answer

    def log(self) -> str:
        """The daemon's log, all of it."""
        return "".join(path.read_text() for path in (self.folder / "s").glob("ardaemon/*/daemon.log"))

    def daemon_pid(self) -> int:
        return int(self.daemon()["pid"])


class Rpc:
    """One connection to the daemon, one request at a time."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(COMMAND_S)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def call(self, method: str, **params: object) -> float:
        """Milliseconds from sending a request to having its whole answer."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params, "protocol": PROTOCOL}
        data = json.dumps(request).encode() + b"\n"
        began = time.perf_counter()
        self.socket.sendall(data)
        line = self.file.readline()
        ms = (time.perf_counter() - began) * 1000
        if b'"result"' not in line:
            raise BenchError(f"{method}: {line.decode()}")
        return ms

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def wait_for(what: str, happened: Callable[[], bool]) -> None:
    """Until something is so. Raises BenchError after WAIT_S."""
    deadline = time.monotonic() + WAIT_S
    while not happened():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not after {WAIT_S:.0f} s")
        time.sleep(0.005)
