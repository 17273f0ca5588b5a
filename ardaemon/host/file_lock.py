"""Kernel locks on files.

The kernel releases a lock when its holder ends, so a lock tells that its holder lives.
"""

import fcntl
import os
from pathlib import Path

from ardaemon.core.model import Process
from ardaemon.host import operations, proc

NOTE_MAX = 16 << 10  # bytes: two paths and a few numbers


def claim(fd: int) -> int:
    """Lock the open file `fd` exclusively, and return `fd`, with which the lock travels to other processes.

    Raises BlockingIOError if another process has the lock; `fd` is closed then.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def take(path: str) -> int:
    """Lock the file `path`, which is made if it is missing, and return its descriptor. Raises as claim()."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # a logout may have removed it
    return claim(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def name_holder(fd: int, pid: int, facts: bytes = b"") -> None:
    """Write into the locked file `fd` which process is about to be sent that descriptor, and with what.

    While the descriptor lies unread in that process's socket the lock is held, and /proc shows it nowhere.
    """
    operations.truncate(fd, 0)
    operations.write(fd, f"{pid} {proc.start_time(pid)}\n".encode() + facts)


def named_holder(path: str) -> Process | None:
    """Return the process that `name_holder` has written into the file, if it lives."""
    noted = note(path)
    if noted is None:
        return None
    pid, start = noted[0]
    return Process(pid, start, proc.name(pid)) if proc.start_time(pid) == start else None


def note(path: str) -> tuple[tuple[int, int], bytes] | None:
    """Return (pid, start time) and the facts that `name_holder` has written; None if there are none."""
    try:
        with open(path, "rb") as file:
            line, _, facts = file.read(NOTE_MAX).partition(b"\n")
        pid, start = map(int, line.split())
    except (OSError, ValueError):
        return None
    return (pid, start), facts


def is_locked(path: str) -> bool:
    """Return whether any process has the lock of the file `path`; False if there is no such file."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def inode(path: Path) -> tuple[int, int] | None:
    """Return what tells the file or folder at `path` from all others; None if there is none."""
    try:
        status = os.stat(path, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino
