"""A private folder for an example: project, home, state and socket of its own, and what runs there.

Standard library alone.
"""

import os
import selectors
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import IO, NamedTuple

NOT_OF_THE_PROJECT = ("demo.toml", "__pycache__", ".*")  # in an example's folder
TICK_S = 1.0  # how often a dot shows that a command is at work
STOP_S = 30.0  # for `session stop` to end a run, tree and all
GONE_S = 10.0  # for the last processes to be gone after `daemon stop`
TERMINAL = sys.stdout.isatty()


class Failed(Exception):
    """A step did not go as it must; the text says what was expected."""


# --- what is shown ---


def styled(text: str, code: str) -> str:
    """Text in bold, dim or a colour, at a terminal only."""
    return f"\x1b[{code}m{text}\x1b[0m" if TERMINAL else text


def say(text: str = "") -> None:
    print(text, flush=True)


class Dots:
    """Dots in a pipe, while a command says nothing. At a terminal arctl itself shows how a run goes."""

    def __init__(self) -> None:
        self.shown = False

    def tick(self) -> None:
        print("." if self.shown else "  .", end="", flush=True)
        self.shown = True

    def clear(self) -> None:
        if self.shown:
            print(flush=True)
        self.shown = False


def lines_of(pipe: IO[bytes]) -> Iterator[str | None]:
    """Each line as it comes; None whenever TICK_S pass without one."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(TICK_S):
                yield None
                continue
            chunk = os.read(pipe.fileno(), 65536)
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
            if not chunk:
                if rest:
                    yield rest.decode(errors="replace")
                return


def _show(pipe: IO[bytes]) -> None:
    dots = Dots()
    for line in lines_of(pipe):
        if line is None:
            dots.tick()
        else:
            dots.clear()
            say(f"  {line}")
    dots.clear()


# --- the private world ---


class World:
    """A folder with a project, a home, a state and a socket folder of its own.

    The project is a copy of `source`; jobs find `python` beside `python`, an interpreter's path.
    """

    def __init__(self, source: Path, topic: str, python: str = sys.executable) -> None:
        # Short: the path of a Unix socket has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="ard-", dir="/tmp"))
        self.project = self.folder / "project"
        self.slug = f"{date.today():%y%m%d}-{topic}"
        self.experiment = self.project / ".autoresearch" / self.slug
        self.program = str(Path(sys.executable).parent / "arctl")
        self.environment = self._environment(python)
        self.seen: set[tuple[int, int]] = set()  # pid and start time
        shutil.copytree(source, self.project, ignore=shutil.ignore_patterns(*NOT_OF_THE_PROJECT))

    def _environment(self, python: str) -> dict[str, str]:
        """The caller's environment, less its own experiments, and with every folder inside ours."""
        # The project's own environment comes first: arctl is called by its whole path.
        path = f"{Path(python).absolute().parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        own = {"PATH": path}
        if not TERMINAL:  # with it arctl takes nobody to be there who watches
            own["AR_NONINTERACTIVE"] = "1"
        folders = {
            "HOME": "home",
            "XDG_STATE_HOME": "state",
            "XDG_RUNTIME_DIR": "run",
            "XDG_CONFIG_HOME": "config",
        }
        for name, folder in folders.items():
            (self.folder / folder).mkdir(mode=0o700)
            own[name] = str(self.folder / folder)
        return {k: v for k, v in os.environ.items() if not k.startswith("AR_")} | own

    @property
    def train(self) -> Path:
        return self.experiment / "train.py"

    def arctl(self, *arguments: str) -> int:
        """Run arctl, show the command and its output as it comes, and return its exit code."""
        say(styled(f"  $ {shlex.join(('arctl', *arguments))}", "1"))
        with subprocess.Popen(
            [self.program, *arguments],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=None if TERMINAL else subprocess.PIPE,
            stderr=None if TERMINAL else subprocess.STDOUT,
        ) as process:
            if process.stdout is not None:
                _show(process.stdout)
        return process.returncode

    def must(self, *arguments: str) -> None:
        """Run arctl; any exit code but 0 ends the demo."""
        code = self.arctl(*arguments)
        if code:
            raise Failed(f"`arctl {arguments[0]}` ended with exit code {code}, expected 0")

    def processes(self) -> list[int]:
        """Every process of this world that lives: by its traces, by its parent, or seen before."""
        living = process_table()
        mark = str(self.folder).encode()
        found = {pid for pid in living if pid != os.getpid() and mark in traces(pid)}
        # A parked shim has an empty environment: it is known by its parent, also after that one ended.
        while more := {pid for pid, facts in living.items() if facts.parent in found} - found:
            found |= more
        self.seen |= {(pid, living[pid].start) for pid in found}
        return [pid for pid, start in self.seen if pid in living and living[pid].start == start]

    def close(self) -> list[int]:
        """Stop the session, the daemon, and wait; returns the pids that are still there."""
        for arguments in (("session", "stop"), ("daemon", "stop")):
            try:
                subprocess.run(
                    [self.program, *arguments],
                    cwd=self.project,
                    env=self.environment,
                    capture_output=True,
                    timeout=STOP_S,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired):
                pass  # what is left is killed
        return self.left()

    def left(self) -> list[int]:
        """The processes that do not go away by themselves."""
        deadline = time.monotonic() + GONE_S
        while (pids := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)  # a process that is no child of ours tells nobody that it ended
        return pids


class Facts(NamedTuple):
    """A process in /proc: its parent, and its start in clock ticks since boot."""

    parent: int
    start: int


def process_table() -> dict[int, Facts]:
    """Every process but zombies."""
    table = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = Path(f"/proc/{name}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # gone meanwhile
        state, parent, *rest = text.rpartition(") ")[2].split()
        if state not in ("Z", "X"):
            table[int(name)] = Facts(int(parent), int(rest[17]))
    return table


def traces(pid: int) -> bytes:
    """What /proc tells of where a process belongs; empty if it is gone or not ours."""
    folder = Path(f"/proc/{pid}")
    found = b""
    try:
        for name in ("environ", "cmdline"):
            found += (folder / name).read_bytes()
        links = [folder / "cwd", *(folder / "fd").iterdir()]
    except OSError:
        return found
    for link in links:
        try:
            found += os.fsencode(os.readlink(link))
        except OSError:
            pass  # closed meanwhile
    return found
