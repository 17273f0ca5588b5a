"""Locks of the kernel on files: one that is held says that its holder lives."""

import fcntl
import os


def claim(fd: int) -> int:
    """Lock what is open, alone; the lock travels with the descriptor.

    Raises BlockingIOError where somebody else holds it: then the descriptor is closed.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def take(path: str) -> int:
    """Lock the file, made where it is missing. Raises as claim()."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # a logout may have removed it
    return claim(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def held(path: str) -> bool:
    """Does anybody hold it?"""
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
