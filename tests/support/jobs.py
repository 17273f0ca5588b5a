"""The processes of a run under test: the spare shim before its launch, its shim and its job."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from ardaemon.host import proc
from tests.support.lab import Lab, wait_until


def launched(lab: Lab, script: str) -> str:
    lab.write(script)
    run_id: str = lab.submit()["run_id"]
    lab.wait(run_id, until="launched")
    return run_id


def found(lab: Lab, run_id: str) -> None:
    """Wait until a daemon has found the run at work after its start; it serves before, if that takes long."""
    wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "running", "the run to be found")


def shim_of(lab: Lab, run_id: str) -> int:
    start = lab.folder / f"runs/{run_id}/a1/start.json"
    pid: int = json.loads(start.read_bytes())["shim"][0]
    return pid


def job_of(lab: Lab, run_id: str) -> int:
    start = lab.folder / f"runs/{run_id}/a1/start.json"
    found = wait_until(lambda: json.loads(start.read_bytes())["job"], "the job's pid")
    pid: int = found[0]
    return pid


def expire(lab: Lab, run_id: str) -> None:
    """Have the limit of a run that has lost its shim come now.

    Its daemon believes start.json where that gives the run less time than the shim was given.
    """
    start = lab.folder / f"runs/{run_id}/a1/start.json"
    aside = start.with_name(".start.json.test")
    aside.write_text(json.dumps({**json.loads(start.read_bytes()), "deadline": time.monotonic()}))
    aside.rename(start)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_pending(pid: int, number: int) -> bool:
    """Has a signal been sent to the process that it has not taken yet (proc(5), status)?"""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return any(int(values[name], 16) >> number - 1 & 1 for name in ("SigPnd", "ShdPnd"))


def children_of(lab: Lab, word: str) -> set[int]:
    """The daemon's own children that have that word in their command line."""
    return {child.pid for child in psutil.Process(lab.pid).children() if word in _command(child)}


def _command(process: psutil.Process) -> str:
    """Its command line; nothing once it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def parked_of(lab: Lab) -> int:
    """The spare shim, while no run is at work."""
    (pid,) = wait_until(lambda: len(shims := children_of(lab, "shim")) == 1 and shims, "one shim, the spare")
    return int(pid)


def stop(lab: Lab, pid: int) -> int:
    """SIGSTOP, and it is stopped."""
    os.kill(pid, signal.SIGSTOP)
    return stopped(lab, pid)


def stopped(lab: Lab, pid: int) -> int:
    """Wait until it is stopped; should the test fail, it is killed with the lab."""
    lab.stopped.append(pid)
    wait_until(lambda: proc.stopped(pid), f"process {pid} to be stopped")
    return pid


@contextmanager
def held_launch(lab: Lab) -> Iterator[None]:
    """Start a daemon, in place of one that runs, and stop its first shim when that is given its attempt.

    The run stays `launching`.
    """
    lab.stop()
    lab.start("tests.support.halting", HALT="hold", HALTED=str(lab.root / "halted"))
    shim = parked_of(lab)
    lab.stopped.append(shim)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # a daemon may have ended it
            os.kill(shim, signal.SIGCONT)
