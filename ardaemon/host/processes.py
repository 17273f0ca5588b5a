"""Which processes belong to a run, found without a supervisor's help."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator

import anyio
import psutil

from ardaemon.core.model import Process
from ardaemon.host import cgroup, proc


def tagged(environment: dict[str, str]) -> list[Process]:
    """Living processes whose environment holds all of `environment`, and their descendants."""
    found: dict[int, Process] = {}
    for process in psutil.process_iter():
        try:
            values = process.environ()
            if all(values.get(name) == value for name, value in environment.items()):
                _add(found, [process, *process.children(recursive=True)])
        except psutil.Error:
            continue  # gone meanwhile, or another user's: not ours then
    return list(found.values())


def _add(found: dict[int, Process], processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        start = proc.start_time(process.pid)
        if start is not None:
            found[process.pid] = Process(process.pid, start, proc.name(process.pid))


def holding(path: str) -> list[Process]:
    """Living processes that hold `path` open: what inherited a lock, whatever else it left behind."""
    path, found = os.path.realpath(path), []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        start = proc.start_time(pid)
        if start is not None and pid != os.getpid() and path in _open_files(pid):
            found.append(Process(pid, start, proc.name(pid)))
    return found


def _open_files(pid: int) -> Iterator[str]:
    """The names of what it has open; nothing of another user's process, or of one that has ended."""
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                yield os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return


def in_cgroup(folder: str) -> list[Process]:
    """Living processes in that cgroup and below it."""
    return [Process(pid, start, proc.name(pid)) for pid, start in cgroup.living(folder).items()]


def living(processes: Iterable[Process]) -> list[Process]:
    """Those that still live as the same process."""
    return [p for p in processes if proc.start_time(p.pid) == p.start]


def kill(processes: Iterable[Process], number: signal.Signals) -> None:
    """Signal exactly these processes."""
    for process in processes:
        proc.send(process.pid, process.start, number)


async def gone(process: Process) -> None:
    """Return when that very process has ended; it need not be a child of ours."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        if proc.start_time(process.pid) == process.start:
            await anyio.wait_readable(fd)
    finally:
        os.close(fd)
