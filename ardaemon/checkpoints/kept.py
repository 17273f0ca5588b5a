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


class Kept:
    """A checkpoint that is kept until this is closed, or until nobody has this any more.

    A disk may answer so late that nobody waits for the answer: then nobody would close it.
    """

    def __init__(self, folder: str) -> None:
        """Keep it. Raises OSError if it is gone or cannot be kept."""
        self._fd: int | None = _opened(folder)
        fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def close(self) -> None:
        """Keep it no more. May be called again."""
        fd, self._fd = getattr(self, "_fd", None), None
        if fd is not None:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def keep(folder: str) -> Kept | None:
    """Keep the checkpoint; None if it is gone or cannot be kept."""
    with suppress(OSError):
        return Kept(folder)
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
