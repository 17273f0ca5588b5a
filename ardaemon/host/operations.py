"""Operations whose effect outlives the process, one function each: a crash can fall between any two of them.

They are about files and their names, processes, and words to a peer. Nothing else in the daemon or the shim
calls the system for these (tests/test_layering.py checks it), so that a test can stop, fail or record each
one by `hook`. OSError goes to the caller. The shim imports this module, so it takes little, and the standard
library alone.
"""

import errno
import fcntl
import os

from ardaemon.core import files

TYPE_CHECKING = False  # typing costs more to import than this module
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence
else:
    import _signal as signal  # why: signals.py

Path = str | os.PathLike[str]

FULL = (errno.ENOSPC, errno.EDQUOT)  # of a disk, or of what a user may take of it
_AT_FDCWD = -100  # fcntl.h
_RENAME_EXCHANGE = 2  # linux/fs.h, for renameat2(2)
_FICLONE = 0x40049409  # linux/fs.h, for ioctl_ficlone(2)
# Errors that say "not in this way": this filesystem, two filesystems, this kernel or this sandbox cannot do
# it (ioctl_ficlone(2), copy_file_range(2)).
_CANNOT = (
    errno.EOPNOTSUPP,
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOTTY,
    errno.ENOSYS,
    errno.EPERM,
    errno.EBADF,
    errno.ETXTBSY,
)
# A FIFO that nobody reads fails at once (ENXIO) and does not wait for a reader.
_TO_WRITE = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
COPIED_AT_ONCE = 64 << 20  # bytes between two reports of progress: some 50 ms, and no slower than all at once

# Set by tests alone. Called before each operation with its name and arguments; it may raise, or never return.
hook: "Callable[..., None] | None" = None


def at(name: str, *arguments: object) -> None:
    """Tell the test's hook that the operation `name` comes next.

    Callers outside this module do the operation themselves, because its object lives with them.
    """
    if hook is not None:
        hook(name, *arguments)


# --- files ---


def create(path: Path, flags: int, mode: int) -> int:
    """Open a plain file for writing (open(2)), and make it if it is not there. Raises NotPlain."""
    at("create", path, flags)
    return _plain(os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | _TO_WRITE, mode), path)


def reopen(path: Path) -> int:
    """Open a plain file that is there for writing (open(2)). Raises NotPlain."""
    return _plain(os.open(path, os.O_NOFOLLOW | _TO_WRITE), path)


def _plain(fd: int, path: Path) -> int:
    """Return the descriptor; close it and raise NotPlain if it is not that of a plain file."""
    try:
        files.require_plain(os.fstat(fd), path)
    except files.NotPlain:
        os.close(fd)
        raise
    return fd


def write(fd: int, data: bytes) -> None:
    """Write all of `data`."""
    at("write", fd, data)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _ignored(_: int) -> None:
    """Take a report of progress that nobody wants."""


def copy(source: int, target: int, size: int, copied: "Callable[[int], None]" = _ignored) -> None:
    """Copy `size` bytes of `source` into the empty `target`, by a reflink where the filesystem has them.

    No byte goes through this process. `copied` is called with the number of bytes copied so far: with 0
    before the first byte; for a reflink, which takes no time and no space, with `size` alone. Raises OSError
    (EIO) if `source` turns out to be shorter than `size`.
    """
    at("copy", source, target, size)
    if _cloned(source, target):
        return copied(size)
    copied(0)
    step, done = _by_range, 0
    while done < size:
        sent = step(source, target, done, min(size - done, COPIED_AT_ONCE))
        if sent:
            done += sent
            copied(done)
        elif step is _by_range:
            step = _by_sendfile
        else:  # the source became shorter meanwhile
            raise OSError(errno.EIO, "the file was cut off while it was copied")
    return None


def _cloned(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def _by_range(source: int, target: int, done: int, count: int) -> int:
    """Copy by copy_file_range(2), as `cp` does; return the bytes copied, 0 if that cannot be done here."""
    try:
        return os.copy_file_range(source, target, count, offset_src=done)
    except OSError as error:
        if error.errno in _CANNOT:
            return 0
        raise


def _by_sendfile(source: int, target: int, done: int, count: int) -> int:
    return os.sendfile(target, source, done, count)


def chmod(fd: int, mode: int) -> None:
    """Set the mode of an open file (fchmod(2))."""
    at("chmod", fd, mode)
    os.fchmod(fd, mode)


def truncate(fd: int, size: int) -> None:
    """Cut an open file to `size` bytes (ftruncate(2))."""
    at("truncate", fd, size)
    os.ftruncate(fd, size)


def fsync(fd: int) -> None:
    """Bring the file's content to the disk; it is there when this returns (fsync(2))."""
    at("fsync", fd)
    os.fsync(fd)


# --- names ---


def fsync_folder(path: Path) -> None:
    """Bring the names in the folder to the disk; they are there when this returns."""
    at("fsync_folder", path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rename(old: Path, new: Path) -> None:
    """Rename a file (rename(2))."""
    at("rename", old, new)
    os.rename(old, new)


def exchange(one: Path, other: Path) -> None:
    """Exchange two names in one step (renameat2(2)).

    Raises OSError: EINVAL or ENOSYS if the filesystem cannot do it (some NFS, FUSE).
    """
    at("exchange", one, other)
    import ctypes  # here, for the daemon alone needs it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(other))


def link(old: Path, new: Path) -> None:
    """Give a file a second name (link(2))."""
    at("link", old, new)
    os.link(old, new)


def symlink(target: str, path: Path) -> None:
    """Make the symlink `path` (symlink(2))."""
    at("symlink", target, path)
    os.symlink(target, path)


def unlink(path: Path) -> None:
    """Remove a file's name (unlink(2))."""
    at("unlink", path)
    os.unlink(path)


def mkdir(path: Path, mode: int = 0o777) -> None:
    """Make a folder (mkdir(2))."""
    at("mkdir", path)
    os.mkdir(path, mode)


def rmdir(path: Path) -> None:
    """Remove an empty folder (rmdir(2))."""
    at("rmdir", path)
    os.rmdir(path)


# --- processes ---


def posix_spawn(argv: "Sequence[str]", environment: dict[str, str], **how: object) -> int:
    """Start a program and return its pid; `how` as in os.posix_spawn."""
    at("spawn", argv)
    return os.posix_spawn(argv[0], argv, environment, **how)  # type: ignore[arg-type]  # as given


def signal_process(pidfd: int, number: int) -> None:
    """Send a signal to the process behind a pidfd."""
    at("signal", pidfd, number)
    signal.pidfd_send_signal(pidfd, number)


def signal_group(group: int, number: int) -> None:
    """Send a signal to a process group."""
    at("signal_group", group, number)
    os.killpg(group, number)
