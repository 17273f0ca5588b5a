"""Keeps other daemons from removing a checkpoint that an audit of this one still needs.

A former best is removed by the daemon that has the project by then. It cannot know what waits in another's
state folder. So whoever still needs a checkpoint holds a shared kernel lock on its folder, which ends with
the process, and nobody removes a folder that he cannot lock alone. Where the file system has no such locks
(NFS has none on folders), none is held, and none is seen.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def keep(folder: str) -> int | None:
    """Keep the checkpoint until the returned descriptor is closed; None if it is gone or cannot be kept."""
    fd = None
    with suppress(OSError):
        fd = _opened(folder)
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return fd
    if fd is not None:
        os.close(fd)
    return None


@contextmanager
def free(folder: Path) -> Iterator[bool]:
    """Tell whether nobody keeps the checkpoint; nobody can begin to within the block. Raises OSError."""
    fd = _opened(folder)
    try:
        yield not _is_held(fd)
    finally:
        os.close(fd)


def _opened(folder: str | Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _is_held(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # this file system has no such locks
        return False
    return False
