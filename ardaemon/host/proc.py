"""Processes as the kernel tells of them in /proc (proc(5)); standard library alone, for the shim.

A process is meant by pid *and* start time; a signal goes through a pidfd that was checked after
it was opened, so that a reused pid is never hit.
"""

import os
import signal

from ardaemon.host import operations


def start_time(pid: int) -> int | None:
    """Clock ticks since boot at which `pid` started; None if there is no such process, or a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def stopped(pid: int) -> bool:
    """Is it stopped by a signal (or by a debugger)?"""
    fields = _stat(pid)
    return fields is not None and fields[0] in "Tt"


def name(pid: int) -> str:
    """The command's name, for a person."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"


def _stat(pid: int) -> list[str] | None:
    # Fields from the third on: the second, (comm), may itself hold spaces and brackets.
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def descendants(root: int) -> dict[int, int]:
    """Every living process below `root`, as pid -> start time."""
    parents: dict[int, list[int]] = {}
    starts: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        fields = _stat(int(entry))
        if fields is not None:
            parents.setdefault(int(fields[1]), []).append(int(entry))
            if fields[0] not in "ZX":
                starts[int(entry)] = int(fields[19])
    below, found = list(parents.get(root, ())), {}
    while below:
        pid = below.pop()
        if pid in starts:
            found[pid] = starts[pid]
        below.extend(parents.get(pid, ()))
    return found


def kill_children() -> None:
    """SIGKILL to this process's own children, the youngest first: nobody else can reap them meanwhile."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as file:
            pids = file.read().split()
    except OSError:
        return  # a kernel without CONFIG_PROC_CHILDREN
    for pid in reversed(pids):
        _kill_child(int(pid))


def _kill_child(pid: int) -> None:
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        operations.signal_process(fd, signal.SIGKILL)
    except ProcessLookupError:
        pass  # a zombie
    finally:
        os.close(fd)


def send(pid: int, start: int, number: signal.Signals) -> bool:
    """Signal exactly that process; False if it is gone or the pid is somebody else's by now."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if start_time(pid) != start:
            return False
        operations.signal_process(fd, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
