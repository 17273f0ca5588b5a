"""The file `.autoresearch/.owner`: its kernel lock, and the record in it.

The lock is flock(2)'s. It belongs to the open file, so no other thread that opens and closes the same file
loses it (as fcntl's record locks would), and it holds between containers that share a kernel. NFS and most
FUSE file systems know it. It lies on the inode, so the record is written in place, and whoever has got the
lock looks whether the inode still bears that name.
"""

import errno
import fcntl
import logging
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.locking import Lock, attempt
from ardaemon.core.project_owner import ProjectOwner
from ardaemon.host import durable, file_lock, file_system, operations, state

# Room for a record: it is written in one piece over the last one, and a reader sees the one or the other.
RECORD_BYTES = 1024
# A daemon that waits asks twice a second (OWNER_LOOK_S of handlers/context.py). One that has not asked for so
# long has got its answer, or waits no more.
WANTED_FOR_S = 10.0
TRIES_MAX = 8  # each time somebody else has removed or replaced the file in between
# A network disk may show a name for some seconds that another host has removed, and then say that it is not
# there (seen with sshfs, which remembers names for 1 s).
STALE = (errno.ENOENT, errno.ESTALE)
STALE_S = 0.5  # between two tries then

log = logging.getLogger("ardaemon.owner")


class OwnerFile:
    """The opened file, which is the one at `path`.

    `lock` says what came of the try to lock it, `made` whether it was made by that.
    """

    def __init__(self, path: Path, fd: int, lock: Lock, made: bool) -> None:
        self.path, self.fd, self.lock, self.made = path, fd, lock, made
        status = os.fstat(fd)
        self.inode = status.st_dev, status.st_ino

    def is_there(self) -> bool:
        """Return whether the file is still the one at its path."""
        return file_lock.inode(self.path) == self.inode

    def read(self) -> ProjectOwner | None:
        """Return the record; None if there is none, or if it cannot be read."""
        return read(self.path)

    def write(self, record: ProjectOwner, sync: bool = True) -> None:
        """Write the record over the last one. Raises OSError.

        `sync=False` is for what a power cut may undo, for the next boot is told from this one anyway.
        """
        data = state.encode(record).ljust(RECORD_BYTES)
        os.lseek(self.fd, 0, os.SEEK_SET)
        operations.write(self.fd, data)
        operations.truncate(self.fd, len(data))
        if sync:
            operations.fsync(self.fd)

    def replace(self) -> None:
        """Put a new file in the place of this one, and try to lock that. Raises OSError.

        Whoever has the old one open, on another machine, sees that the name leads elsewhere. Of two who do
        this at once, the second one finds a file that was not `made` by it, with the first one's record.
        """
        if self.is_there():
            durable.remove(self.path)
        other = opened(self.path)
        _given_up(self.fd)
        self.fd, self.lock, self.made, self.inode = other.fd, other.lock, other.made, other.inode

    def close(self) -> None:
        """Give up the lock, and leave the file."""
        _given_up(self.fd)

    def remove(self) -> None:
        """Remove the file, if it is still the one at its path, and give up the lock."""
        try:
            if self.is_there():
                durable.remove(self.path)
        finally:
            self.close()


def read(path: Path) -> ProjectOwner | None:
    """Return the record at `path`; None if there is none, or if it cannot be read."""
    try:
        return state.decode(files.read(path, file_kinds.STATE), ProjectOwner, path)
    except FileNotFoundError:
        return None
    except (ArdaemonError, OSError) as error:
        log.warning("unreadable", extra={"facts": {"file": str(path), "why": str(error)}})
        return None


def want(path: Path) -> None:
    """Make the empty file by which a daemon asks the owner to let go. Raises OSError.

    It says nothing and proves nothing: the owner decides by itself when it lets go. So it need not survive a
    power cut. Whoever waits makes it again and again: its age tells whether anybody waits still.
    """
    fd = operations.create(path, 0, 0o600)
    try:
        os.utime(fd)
    finally:
        os.close(fd)


def is_wanted(path: Path) -> bool:
    """Tell whether another daemon asks for the project now; the file of one that gave up is removed."""
    if not _is_plain(path):
        return False
    with suppress(OSError):  # a full disk does not tell how old it is
        if file_system.age_s(path) > WANTED_FOR_S:
            durable.remove(path)
            return False
    return True


def forget_wish(path: Path) -> None:
    """Remove that file, if it is there: whoever asks still asks again. Raises OSError."""
    if _is_plain(path):
        durable.remove(path)


def _is_plain(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISREG(os.stat(path, follow_symlinks=False).st_mode)
    return False


def opened(path: Path) -> OwnerFile:
    """Open the file, which is made if it is missing, and try to lock it. Raises OSError."""
    for _ in range(TRIES_MAX):
        try:
            fd, made = _created(path)
        except OSError as error:
            if error.errno not in STALE or file_lock.inode(path.parent) is None:
                raise
            time.sleep(STALE_S)
            continue
        found = OwnerFile(path, fd, _locked(fd), made)
        if found.is_there():
            return found
        found.close()
    raise OSError(errno.EBUSY, "it is removed again and again while it is locked", os.fspath(path))


def _created(path: Path) -> tuple[int, bool]:
    """Open the file; say whether it was made. Where there are no locks, that alone tells who came first."""
    try:
        return operations.create(path, os.O_EXCL, 0o600), True
    except FileExistsError:
        with suppress(FileNotFoundError):  # removed meanwhile
            files.require_plain(os.stat(path, follow_symlinks=False), path)
        return operations.create(path, 0, 0o600), False


def _given_up(fd: int) -> None:
    """Unlock the open file, and close it.

    To close it alone does not do: a process that another thread is just starting has a copy of the descriptor
    until its execve(2), and the lock with it.
    """
    with suppress(OSError):  # where there are no locks
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def _locked(fd: int) -> Lock:
    try:
        return attempt(fd, fcntl.LOCK_EX)
    except OSError:
        os.close(fd)
        raise
