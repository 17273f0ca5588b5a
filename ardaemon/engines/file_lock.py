"""Locks of the kernel on files: one that is held says that its holder lives."""

import fcntl
import os


def take(path: str) -> int:
    """Lock a file that no one else can hold yet; the lock travels with the descriptor."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # a logout may have removed it
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


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
