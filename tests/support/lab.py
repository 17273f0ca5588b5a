"""A private world for one test: own folders, own daemon, own project; nothing is left of it."""

import copy
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ardaemon.core.errors import from_wire
from ardaemon.host import proc
from tests.support import forge

# Far more than a busy machine needs, and less than the minute after which most jobs here would end.
DEADLINE_S = 50.0
# How long a run of a session may take, unless its test says something else: longer than a test holds a run,
# also where ten others have the processors.
LIMIT_S = 120.0
# What a test does not get of whoever runs it: ours, and the active environment, which would be the runner's.
NOT_KEPT = ("AR_", "XDG_", "COVERAGE", "VIRTUAL_ENV", "CONDA_", "UV_")
SLUG = "261122-test"

# One step of "training": the value comes from the script's own text, as an edit would set it.
TRAIN = 'RUN_NOTE = "{note}"\nprint("val/loss: {value}")\n'


def wait_until(reached: Callable[[], Any], what: str, deadline: float = DEADLINE_S) -> Any:
    """Wait on a condition with a deadline; returns its value."""
    end = time.monotonic() + deadline
    while True:
        value = reached()
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline:g} s: {what}"
        time.sleep(0.01)  # the interval of looking, not a wait for something to have happened


class Rpc:
    """A plain client, line by line, that knows nothing of arctl."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S * 2)
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise
        self.file = self.sock.makefile("rb")
        self.count = 0
        self.notifications: list[dict[str, Any]] = []

    def send_raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self.sock.sendall(data)

    def receive(self) -> Any:
        """The next line; None at the end."""
        line = self.file.readline()
        return json.loads(line) if line else None

    def call(self, method: str, **params: Any) -> Any:
        """Call and wait for the answer; raises the daemon's error."""
        self.count += 1
        message = {"jsonrpc": "2.0", "id": self.count, "method": method, "params": params}
        self.send_raw(json.dumps(message).encode() + b"\n")
        while True:
            answer = self.receive()
            assert answer is not None, f"the daemon closed the connection during {method}"
            if "method" in answer:
                self.notifications.append(answer)
            elif "error" in answer:
                raise from_wire(answer["error"])
            else:
                return answer["result"]

    def close(self) -> None:
        """Go away."""
        self.file.close()
        self.sock.close()


class Lab:
    """Folders, environment, daemon and project of one test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = root / "p"
        self.state_home, self.runtime = root / "s", root / "r"
        for folder in (self.project, self.state_home, self.runtime, root / "h"):
            folder.mkdir(mode=0o700)
        kept = {n: v for n, v in os.environ.items() if not n.startswith(NOT_KEPT)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
        self.environment = {
            **kept,
            "PATH": path,
            "HOME": str(root / "h"),
            "XDG_STATE_HOME": str(self.state_home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self.process: subprocess.Popen[bytes] | forge.Forked | None = None
        self.within: tuple[str, ...] = ()  # the command that starts a daemon elsewhere: as another user, …
        self.uid = os.geteuid()  # whose clients connect
        self.program = "ardaemon"  # the module that is run as the daemon
        self.forges = True  # daemons are forked (tests/support/forge.py), and no interpreters of their own
        self.forges_helpers = True  # and their helpers with them, which are no children of theirs then
        self.clients: list[Rpc] = []
        self.stopped: list[
            int
        ] = []  # processes that a test has stopped: a parked shim bears no mark of this world

    def beside(self, name: str) -> "Lab":
        """Make another project, of that name, which the same daemon serves.

        Only the first Lab starts and ends the daemon.
        """
        other = copy.copy(self)
        other.project = self.root / name
        other.project.mkdir(mode=0o700)
        return other

    # --- daemon ---

    def start(self, program: str | None = None, **environment: str) -> "Lab":
        """Start a daemon and wait until it listens; `program` is run in the place of the lab's."""
        read, write = os.pipe()
        with (self.root / "stderr").open("ab") as stderr:
            self.process = self._boot(
                program or self.program, {**self.environment, **environment}, write, stderr.fileno()
            )
        os.close(write)
        with open(read, "rb") as pipe:
            word = pipe.readline()  # whoever leads elsewhere may hold the pipe open
        assert word == b"ready\n", word + (self.root / "stderr").read_bytes()
        return self

    def _boot(
        self, program: str, environment: dict[str, str], ready: int, stderr: int
    ) -> subprocess.Popen[bytes] | forge.Forked:
        if self.forges and not self.within and program in forge.PROGRAMS:
            return forge.daemons().start(program, environment, ready, stderr, helps=self.forges_helpers)
        return subprocess.Popen(
            [*self.within, sys.executable, "-m", program, "serve", "--ready-fd", str(ready)],
            env=environment,
            pass_fds=[ready],
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )

    @property
    def home(self) -> Path:
        """The daemon's state folder."""
        return next(path for path in (self.state_home / "ardaemon").iterdir() if path.is_dir())

    @property
    def pid(self) -> int:
        """The daemon's."""
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """kill -9 of the daemon, and it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE_S)
        self.close_clients()

    def stop(self) -> None:
        """SIGTERM, and it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(DEADLINE_S)
        self.close_clients()

    def rpc(self) -> Rpc:
        """A new connection."""
        info = json.loads((self.home / "daemon.json").read_bytes())
        me = os.geteuid()
        os.seteuid(self.uid)
        try:
            client = Rpc(info["socket"])
        finally:
            os.seteuid(me)
        self.clients.append(client)
        return client

    def call(self, method: str, **params: Any) -> Any:
        """One call on a connection of its own."""
        client = self.rpc()
        try:
            return client.call(method, **params)
        finally:
            client.close()
            self.clients.remove(client)

    def close_clients(self) -> None:
        """Go away with all connections."""
        for client in self.clients:
            client.close()
        self.clients.clear()

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the daemon's log says of that event."""
        whole = (self.home / "daemon.log").read_text().rpartition("\n")[0]  # the last line may be half there
        lines = whole.splitlines()
        return [line for line in map(json.loads, lines) if line["event"] == name]

    # --- experiment ---

    @property
    def folder(self) -> Path:
        """The experiment's."""
        return self.project / ".autoresearch" / SLUG

    def write(self, text: str) -> None:
        """Edit train.py."""
        (self.folder / "train.py").write_text(text)

    def edit(self, value: float | str, note: str = "") -> None:
        """Edit train.py so that it prints this value."""
        self.write(TRAIN.format(value=value, note=note))

    def init(self, text: str = TRAIN.format(value=1.0, note=""), **params: Any) -> dict[str, Any]:
        """Create the experiment."""
        source = self.project / "train.py"
        source.write_text(text)
        given = {"primary_metric": "val/loss", "primary_direction": "min", "train": str(source), **params}
        answer: dict[str, Any] = self.call("experiment.init", project=str(self.project), slug=SLUG, **given)
        return answer

    def session(self, resume: str | None = None, ack: bool = False, **settings: Any) -> dict[str, Any]:
        """Start a session."""
        answer: dict[str, Any] = self.call(
            "session.start",
            project=str(self.project),
            expr=SLUG,
            settings={"seconds": LIMIT_S, "settle": 1, **settings},
            environment=self.environment,
            resume=resume,
            ack_baseline=ack,
        )
        return answer

    def ready(self, **settings: Any) -> "Lab":
        """A daemon, an experiment and a session."""
        self.start()
        self.init()
        self.session(**settings)
        return self

    def submit(self, **params: Any) -> dict[str, Any]:
        """Submit train.py as it stands; also what was run before, for most tests are not about that."""
        given = {"submit_id": os.urandom(8).hex(), "environment": self.environment, "again": True, **params}
        answer: dict[str, Any] = self.call("run.submit", project=str(self.project), expr=SLUG, **given)
        return answer

    def wait(self, run_id: str | None = None, **params: Any) -> dict[str, Any]:
        """Wait for a run."""
        answer: dict[str, Any] = self.call(
            "run.wait", project=str(self.project), expr=SLUG, run_id=run_id, **params
        )
        return answer

    def run(self, **params: Any) -> dict[str, Any]:
        """Submit and wait; the result."""
        found: dict[str, Any] = self.wait(self.submit(**params)["run_id"])["result"]
        return found

    def settled(self) -> None:
        """Wait until the daemon knows that every run is committed: its result.json is there before."""
        wait_until(lambda: self.call("daemon.info")["active"] == 0, "all runs to be committed")

    def tried(self, value: float | str, **params: Any) -> dict[str, Any]:
        """Edit, submit and wait; the result."""
        self.edit(value)
        return self.run(**params)

    def get(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method on this experiment."""
        answer: dict[str, Any] = self.call(method, project=str(self.project), expr=SLUG, **params)
        return answer

    def read(self, name: str) -> Any:
        """A JSON file of the experiment."""
        return json.loads((self.folder / name).read_bytes())

    # --- the end ---

    def processes(self) -> list[int]:
        """Every process that belongs to this world."""
        mark = str(self.root).encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if mark in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found + [pid for pid in self._serving() if pid not in found]

    def _serving(self) -> list[int]:
        """The daemon that serves: only root may read its environment."""
        found = []
        for info in self.state_home.rglob("daemon.json"):
            try:
                pid = int(json.loads(info.read_bytes())["pid"])
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            if b"ardaemon" in command and b"serve" in command:  # no other process that has its pid now
                found.append(pid)
        return found

    def close(self) -> None:
        """Stop everything and remove it."""
        self.stop()
        for pid in [*self.processes(), *filter(proc.stopped, self.stopped)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        shutil.rmtree(self.root, ignore_errors=True)


def make() -> Lab:
    """A new world, under a short path: a socket's address holds 107 bytes."""
    return Lab(Path(tempfile.mkdtemp(prefix="ar-")))
