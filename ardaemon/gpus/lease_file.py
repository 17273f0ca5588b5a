"""One daemon's file for one card, and how its locks are taken and looked at; gpus/lease.py says for what.

Nothing is ever written into one, and none is removed: that would be a race. Functions that look at a file of
somebody else's believe nothing of it: it may be a symlink, a FIFO, a file that only he can open.
"""

import errno
import fcntl
import functools
import os
import pwd
import stat
import struct
from pathlib import Path
from typing import NamedTuple

from ardaemon.host import operations

MODE = 0o644  # others look, and only its owner can lock it for himself alone
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO would wait for a writer
_OWN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FLOCK = "hhqqi4x"  # struct flock (fcntl(2))


class Bytes(NamedTuple):
    """A range of the file; no such byte need exist."""

    start: int
    length: int


def locked(fd: int, where: Bytes) -> bool:
    """Does another description than `fd` have any lock there?"""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *where, 0)
    kind: int = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))[0]
    return kind != fcntl.F_UNLCK


def lock(fd: int, kind: int, where: Bytes) -> bool:
    """Take a lock of that kind (F_RDLCK, F_WRLCK) if it can be had now."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, os.SEEK_SET, *where, 0))
    except (BlockingIOError, PermissionError):  # which of the two is not specified (fcntl(2))
        return False
    return True


def open_own(path: Path) -> int:
    """Made only where there is none, so that O_CREAT never meets another's file (fs.protected_regular)."""
    try:
        return os.open(path, _OWN)
    except FileNotFoundError:
        operations.at("lease", path)
        return os.open(path, _OWN | os.O_CREAT | os.O_EXCL, 0o600)


def odd(fd: int, path: Path) -> str | None:
    """Why that is no lease file of ours; else its mode is put right, whatever the umask was."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is not a regular file"
    if found.st_uid != os.geteuid():
        return f"{path} belongs to another user: {_user(found.st_uid)}"
    if found.st_nlink != 1:  # before its mode is changed: it may be any file of ours under another name
        return f"{path} has another name as well (a hard link), or was removed"
    if stat.S_IMODE(found.st_mode) != MODE:
        operations.chmod(fd, MODE)
    os.utime(fd)  # what cleans a temporary folder goes by age
    return None


def holder(path: Path, where: Bytes) -> str | None:
    """Who has a lock there, or why nobody can tell; None where it is free, or no daemon's file at all."""
    try:
        fd = os.open(path, _LOOK)
    except OSError as error:
        return None if _nobodys(path, error) else f"{path}: {error.strerror}"
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or not locked(fd, where):
            return None
        return f"another daemon has it: {_user(found.st_uid)}"
    finally:
        os.close(fd)


def _nobodys(path: Path, error: OSError) -> bool:
    """Is what cannot be opened nothing that a daemon could hold?

    A symlink or a socket is not. Nor is a file that is not open to all: a daemon makes it so before it locks
    it, and it looks at ours after that.
    """
    if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
        return True
    try:
        return error.errno == errno.EACCES and not path.lstat().st_mode & stat.S_IROTH
    except FileNotFoundError:
        return True


@functools.lru_cache(maxsize=64)  # a name may come over a network
def _user(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
