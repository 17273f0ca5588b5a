"""Reads processes from /proc (proc(5)) and signals them.

A process is named by pid *and* start time, because the kernel gives a pid to a new process later. A signal
goes through a pidfd whose start time was checked after it was opened, so a reused pid is never hit. The shim
uses this module, so it imports the standard library alone.
"""

import os

from ardaemon.host import operations, signals

# PF_EXITING of <linux/sched.h>, in the flags of stat: what SIGKILL had pending is pending no more.
_EXITING = 4


def start_time(pid: int) -> int | None:
    """Return when `pid` started, in clock ticks since boot; None if it does not exist or is a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def stopped(pid: int) -> bool:
    """Return whether `pid` is stopped by a signal or by a debugger."""
    fields = _stat(pid)
    return fields is not None and fields[0] in "Tt"


def unkillable(pid: int) -> bool:
    """Return whether SIGKILL has no effect on `pid` any more.

    It waits for the kernel, is on its way out, is gone, or is another user's. Whose it is says kill(2): by
    its real and its saved user.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            values = {name: value.split() for name, _, value in (line.partition(":") for line in file)}
    except OSError:
        return True
    real, _, saved, _ = map(int, values["Uid"])
    pending = int(values["SigPnd"][0], 16) | int(values["ShdPnd"][0], 16)
    if os.geteuid() not in (0, real, saved) or pending >> signals.SIGKILL - 1 & 1:
        return True
    fields = _stat(pid)  # after the other file: in the order in which a killed process shows it
    return fields is None or fields[0] in "ZX" or bool(int(fields[6]) & _EXITING)


def name(pid: int) -> str:
    """Return the name of the command that `pid` runs, for a person to read; "?" if it is gone."""
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
    """Return every living process below `root`, as pid -> start time."""
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
    below, living = list(parents.get(root, ())), {}
    while below:
        pid = below.pop()
        if pid in starts:
            living[pid] = starts[pid]
        below.extend(parents.get(pid, ()))
    return living


def kill_children() -> None:
    """Send SIGKILL to this process's own children, the youngest first.

    A child's pid cannot be reused meanwhile, because only this process can reap it: no start time is checked.
    """
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
        operations.signal_process(fd, signals.SIGKILL)
    except ProcessLookupError:
        pass  # a zombie
    finally:
        os.close(fd)


def send(pid: int, start: int, number: int) -> bool:
    """Send a signal to exactly that process; return False if it is gone or another one has its pid now."""
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


def capabilities() -> int:
    """Return this process's effective capabilities as bits (capabilities(7)); 0 if the kernel tells none."""
    try:
        with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
            return next((int(line.split()[1], 16) for line in file if line.startswith("CapEff:")), 0)
    except OSError:
        return 0
