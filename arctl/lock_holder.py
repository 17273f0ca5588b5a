"""Which process holds the daemon's lock: the way to a daemon whose socket and daemon.json are gone."""

import fcntl
import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from arctl.pid_namespace import started_ticks
from ardaemon.core.errors import DaemonUnavailable
from ardaemon.core.locking import attempt

NOTE_MAX = 64  # bytes of the lock file: a pid and its start time
CANNOT_BE_REACHED = "does not listen where it is looked for (its socket or daemon.json is gone, or it starts)"
RESTART = "arctl daemon restart (running jobs go on)"


def is_locked(lock: Path) -> bool:
    """Return whether a daemon lives: it holds this lock until its end. Without locks none can start.

    Raises DaemonUnavailable if nobody can tell.
    """
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except PermissionError:
        raise DaemonUnavailable(
            f"{lock} cannot be opened: its rights forbid it", shlex.join(["chmod", "u+rw", str(lock)])
        ) from None
    try:
        return attempt(fd, fcntl.LOCK_SH) == "held"
    finally:
        os.close(fd)


def holder(lock: Path) -> int | None:
    """Return the pid of the daemon that holds the lock; None where there is none, or none that can be seen.

    A daemon writes pid and start time into its lock (ardaemon.host.file_lock), so a pid that another process
    has by now is not taken for it. A lock that was removed, as with the state folder, is found where its
    holder has it open.
    """
    files = [lock] if lock.exists() else _open_elsewhere(lock)
    return next(filter(None, map(_noted_in, files)), None)


def _open_elsewhere(removed: Path) -> Iterator[Path]:
    """Yield this user's open descriptors of the file that was there, as /proc has them (proc(5))."""
    link = f"{os.path.realpath(removed)} (deleted)"
    for process in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # another user's, or it has ended meanwhile
            folder = Path("/proc", process, "fd")
            for name in os.listdir(folder):
                if os.readlink(folder / name) == link:
                    yield folder / name


def _noted_in(lock: Path) -> int | None:
    if not is_locked(lock):
        return None
    try:
        with open(lock, "rb") as file:
            pid, start = map(int, file.read(NOTE_MAX).split())
    except (OSError, ValueError):  # a daemon of an earlier version writes nothing into it
        return None
    return pid if started_ticks(pid) == start else None


def unreachable(pid: int | None, what: str) -> DaemonUnavailable:
    """Make the error for a daemon that runs, and that nobody can reach; `what` is why."""
    named = "" if pid is None else f" (pid {pid})"
    return DaemonUnavailable(f"the daemon{named} runs, but {what}", RESTART)
