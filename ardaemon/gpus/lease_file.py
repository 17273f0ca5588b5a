"""One daemon's lease file for one card: takes its locks, and looks at those of others (see gpus/lease.py).

Nothing is ever written into a lease file, and none is removed: that would be a race. Functions that
look at another user's file trust nothing about it: it may be a symlink, a FIFO, or a file that only
that user can open.
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

MODE = 0o644  # everybody can look at the locks, and only the owner can take an exclusive one
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO would wait for a writer
_OWN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FLOCK = "hhqqi4x"  # struct flock (fcntl(2))


class Bytes(NamedTuple):
    """A range of a file for a lock; the file need not be as long."""

    start: int
    length: int


def locked(fd: int, where: Bytes) -> bool:
    """Return whether another open file description than that of `fd` has any lock there."""
    query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *where, 0)
    kind: int = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_OFD_GETLK, query))[0]
    return kind != fcntl.F_UNLCK


def lock(fd: int, kind: int, where: Bytes) -> bool:
    """Take a lock of that kind (F_RDLCK, F_WRLCK) if it can be had now; return whether it was taken."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, os.SEEK_SET, *where, 0))
    except (BlockingIOError, PermissionError):  # which of the two is not specified (fcntl(2))
        return False
    return True


def open_own(path: Path) -> int:
    """Open this daemon's lease file; make it if it is missing.

    O_CREAT is used only together with O_EXCL, so that it never meets another user's file
    (fs.protected_regular).
    """
    try:
        return os.open(path, _OWN)
    except FileNotFoundError:
        operations.at("lease", path)
        return os.open(path, _OWN | os.O_CREAT | os.O_EXCL, 0o600)


def odd(fd: int, path: Path) -> str | None:
    """Say why the open file is no lease file of this user's; if it is one, put its mode and time right."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is not a regular file"
    if status.st_uid != os.geteuid():
        return f"{path} belongs to another user: {_user(status.st_uid)}"
    if (
        status.st_nlink != 1
    ):  # before its mode is changed: it may be any file of this user's under another name
        return f"{path} has another name as well (a hard link), or was removed"
    if stat.S_IMODE(status.st_mode) != MODE:
        operations.chmod(fd, MODE)
    os.utime(fd)  # programs that clean temporary folders go by age
    return None


def holder(path: Path, where: Bytes) -> str | None:
    """Say who has a lock there, or why that is unknown; None if it is free, or is no daemon's file."""
    try:
        fd = os.open(path, _LOOK)
    except OSError as error:
        return None if _nobodys(path, error) else f"{path}: {error.strerror}"
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or not locked(fd, where):
            return None
        return f"another daemon has it: {_user(status.st_uid)}"
    finally:
        os.close(fd)


def _nobodys(path: Path, error: OSError) -> bool:
    """Return whether a file that cannot be opened is certainly not held by a daemon.

    No daemon holds a symlink or a socket, nor a file that not everybody can read: a daemon makes its
    file readable before it locks it, and looks at ours after that.
    """
    if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
        return True
    try:
        return error.errno == errno.EACCES and not path.lstat().st_mode & stat.S_IROTH
    except FileNotFoundError:
        return True


@functools.lru_cache(maxsize=64)  # a user's name may come over a network
def _user(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"
