"""Tells whether a file system has locks: one that was mounted without them, as NFS with `nolock`, has none.

The daemon's own folders need them: a lock says which daemon and which shim lives. A project does without, for
one host.
"""

import errno
import fcntl
import os
from pathlib import Path
from typing import Literal

from ardaemon.core.errors import StorageError

# What a try for a lock finds. A lock that is free says that its holder has ended. `unknown`: this file system
# has no locks.
Lock = Literal["held", "free", "unknown"]
# What flock(2) says where a file system has no locks.
NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})

STATE, RUNTIME = "XDG_STATE_HOME", "XDG_RUNTIME_DIR"  # the variables that move the daemon's folders


def attempt(fd: int, how: int) -> Lock:
    """Try to lock the open file, LOCK_SH or LOCK_EX; one that was free is locked by that. Raises OSError."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held"
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return "unknown"
    return "free"


def has_locks(file: Path) -> bool:
    """Tell whether the file can be locked; it is, for a moment, if nobody has it. Raises OSError."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return attempt(fd, fcntl.LOCK_SH) != "unknown"
    finally:
        os.close(fd)


def without_locks(folder: Path, variable: str) -> StorageError | None:
    """Return the error for a folder of the daemon's own in which no file can be locked, else None.

    `variable` names the setting that moves the folder. A file is made there for a moment; where that fails,
    the disk is full or read-only, and nothing is known of its locks.
    """
    probe = folder / f".locks-{os.getpid()}"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        works = has_locks(probe)
        os.unlink(probe)
    except OSError:
        return None
    if works:
        return None
    return StorageError(
        f"the file system of {folder} has no locks, and the daemon needs them there",
        f"set {variable} in the profile of your shell to a folder of yours on a disk of this machine; or"
        " mount that file system with locks (NFS: without nolock)",
    )


def require_locks(folder: Path, variable: str) -> None:
    """Raise that error where it is due."""
    error = without_locks(folder, variable)
    if error is not None:
        raise error
