"""`arctl` as an agent's shell runs it, in the project of a lab; whatever it started is gone afterwards."""

import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import client
from tests.support.lab import DEADLINE_S, LIMIT_S, SLUG, Lab, wait_until

WAITS = re.compile(r"^\[r\d+\] (?:queued|launching)(?:[,:].*)?\n", re.MULTILINE)
# What `arctl init` has to be told of an experiment.
GOAL = ("--primary-metric", "val/loss", "--primary-direction", "min", "--goal", "less")
# The Python of these tests, and no shim of a version manager: that one takes as long as a whole run.
RUNNER = ("--runner", "python train.py")
# Runs until the test says so, so that no test depends on how fast the machine is.
UNTIL_TOLD = """import os, time
print("started", flush=True)
while not os.path.exists({go!r}):
    time.sleep(0.02)
print("val/loss: {value}")
"""


class Shell:
    """`arctl` as an agent's shell runs it, in the project of a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.go = lab.root / "go"

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """A command in the background."""
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "env": self.lab.environment}
        given["cwd"] = self.lab.project
        given |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        return client.popen(*arguments, **given)

    def __call__(self, *arguments: str, code: int | None = 0) -> str:
        """A command to its end; its stdout, if its exit code is the expected one (None: any)."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert code in (None, process.returncode), (process.returncode, out, err)
        return str(out)

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The same, as JSON of one line."""
        out = self(*arguments, "--json", code=code)
        assert out.count("\n") == 1
        return json.loads(out)

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        """Wait for a command: its code, stdout and stderr."""
        out, err = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out, err

    def hold(self, value: float) -> None:
        """Edit train.py so that it runs until `release`."""
        self.lab.write(UNTIL_TOLD.format(go=str(self.go), value=value))

    def release(self) -> None:
        """Let what runs come to its end."""
        self.go.touch()

    def waiting(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """A command in the background, once its run is running, and it has said so where it says that."""
        process = self.start(*arguments, **options)
        wait_until(lambda: self.states() == ["running"], "the run runs")
        if arguments[0] == "run" and "--json" not in arguments and "stdout" not in options:
            # The daemon's answer to the submit comes to it at any time: until then it names no run.
            wait_until(lambda: printed(process) > 0, "it says that its run is launched")
        return process

    def states(self) -> list[str]:
        """Of the runs that are not committed, as another client sees them."""
        return [run["state"] for run in self.json("queue")["runs"]]


@contextmanager
def shells(lab: Lab) -> Iterator[Shell]:
    """A project with a live session, made by arctl; its daemon is stopped by arctl, and is gone.

    The daemon is the lab's; tests/arctl/test_cli_with_daemon.py asks whether the first command starts one.
    """
    if not any(lab.state_home.rglob("daemon.json")):  # an older version's may serve (tests/support/older.py)
        lab.start()
    shell = Shell(lab)
    (lab.project / "t.py").write_text('print("val/loss: 1.0")\n')
    shell("init", SLUG, "--train", "t.py", *GOAL)
    shell("session", "start", "--seconds", f"{LIMIT_S:g}", "--settle", "1", *RUNNER)
    with ended_by_arctl(shell):
        yield shell


@contextmanager
def ended_by_arctl(shell: Shell) -> Iterator[None]:
    """At the end, let its run go on, stop its daemon by arctl, and check that the daemon is gone."""
    yield
    shell.release()
    pid = shell.json("daemon", "stop")["pid"]
    assert pid is None or not lives(pid)


def lives(pid: int) -> bool:
    """Is the process there, and no zombie that init has yet to collect (proc(5), stat)?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or before it was read
        return False


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    """The lines that a command prints, until one has this in it."""
    assert process.stdout is not None
    lines = ""
    while wanted not in lines:
        more = process.stdout.readline()
        assert more, lines
        lines += more
    return lines


def printed(process: subprocess.Popen[str]) -> int:
    """How many bytes of its stdout nobody has read yet (tty_ioctl(4), FIONREAD)."""
    assert process.stdout is not None
    count = fcntl.ioctl(process.stdout.fileno(), termios.FIONREAD, bytes(4))
    return int.from_bytes(count, sys.byteorder)


def but_for_waiting(said: str) -> str:
    """Leave out what a run waits for: a command tells that of a launch which takes longer than a second.

    On a busy machine any launch may.
    """
    return WAITS.sub("", said)


def connected(pid: int) -> bool:
    """Does that client hold a connection? Those of commands before it may not be gone yet."""
    return sockets(pid) > 0


def sockets(pid: int) -> int:
    """How many a process has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(entry))
    return sum(name.startswith("socket:") for name in found)
