"""Finds the processes of a run without the help of its shim, and signals them."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator

import anyio
import psutil

from ardaemon.core.model import Process
from ardaemon.host import cgroup, proc


def tagged(*environments: dict[str, str], without: str = "") -> list[Process]:
    """Return the living processes whose environment holds all of one of these, and their descendants.

    Not those that have the variable `without`.
    """
    tagged: dict[int, Process] = {}
    for process in psutil.process_iter():
        try:
            values = process.environ()
            if without in values:
                continue
            if any(environment.items() <= values.items() for environment in environments):
                _add(tagged, [process, *process.children(recursive=True)])
        except psutil.Error:
            continue  # gone meanwhile, or another user's: not ours then
    return list(tagged.values())


def _add(by_pid: dict[int, Process], processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        start = proc.start_time(process.pid)
        if start is not None:
            by_pid[process.pid] = Process(process.pid, start, proc.name(process.pid))


def holding(path: str) -> list[Process]:
    """Return the living processes, without this one, that have the file `path` open.

    A process that inherited job.lock is found by it even if it left its group, its parent and its
    environment.
    """
    path, holders = os.path.realpath(path), []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        start = proc.start_time(pid)
        if start is not None and pid != os.getpid() and path in _open_files(pid):
            holders.append(Process(pid, start, proc.name(pid)))
    return holders


def _open_files(pid: int) -> Iterator[str]:
    """Yield the names of the files that `pid` has open; none if it is another user's, or has ended."""
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                yield os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return


def in_cgroup(folder: str) -> list[Process]:
    """Return the living processes in that cgroup and below it."""
    return [Process(pid, start, proc.name(pid)) for pid, start in cgroup.living(folder).items()]


def living(processes: Iterable[Process]) -> list[Process]:
    """Return those of the processes that still live; a new process with an old pid is not one of them."""
    return [p for p in processes if proc.start_time(p.pid) == p.start]


def kill(processes: Iterable[Process], number: signal.Signals) -> None:
    """Send a signal to exactly these processes."""
    for process in processes:
        proc.send(process.pid, process.start, number)


async def gone(process: Process) -> None:
    """Wait until exactly that process has ended; it need not be a child of this one.

    There is no limit here: callers set theirs (anyio.move_on_after), as a process may hang in the kernel.
    """
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        if proc.start_time(process.pid) == process.start:
            await anyio.wait_readable(fd)
    finally:
        os.close(fd)
