"""Every operation that outlives its process, one function each: a crash can fall between any two.

Files and their names, processes, words to a peer. Nothing else in the daemon or the shim calls the
system for these (tests/test_layering.py), so that a test can stop, fail or record each one by `hook`.
Standard library alone, and light: the shim imports this. OSError goes to the caller.
"""

import ctypes
import errno
import fcntl
import os
import signal
from collections.abc import Callable, Sequence

Path = str | os.PathLike[str]

_AT_FDCWD = -100  # fcntl.h
_RENAME_EXCHANGE = 2  # linux/fs.h, for renameat2(2)
_FICLONE = 0x40049409  # linux/fs.h, for ioctl_ficlone(2)
# Not by this filesystem, not from that one, not in this kernel or sandbox: ioctl_ficlone(2),
# copy_file_range(2).
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
COPIED_AT_ONCE = 64 << 20  # bytes between two words of progress: some 50 ms, and no slower than all at once

# Set by tests alone. Called before each operation with its name and arguments; it may raise, or never return.
hook: Callable[..., None] | None = None


def at(name: str, *arguments: object) -> None:
    """The operation `name` comes next: for those which are done where their object lives."""
    if hook is not None:
        hook(name, *arguments)


# --- files ---


def create(path: Path, flags: int, mode: int) -> int:
    """open(2) for writing; the file is made if it is not there."""
    at("create", path, flags)
    return os.open(path, flags | os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def write(fd: int, data: bytes) -> None:
    """All of `data`."""
    at("write", fd, data)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _ignored(_: int) -> None:
    """Nobody listens."""


def copy(source: int, target: int, size: int, copied: Callable[[int], None] = _ignored) -> None:
    """`size` bytes of `source` into the empty `target`: shared where the filesystem can, else copied.

    No byte takes a way through this process. `copied` is told how far it is: 0 before the first byte is
    copied; of a file that is shared (a reflink, which takes no space) its size alone.
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
        else:  # it became shorter meanwhile
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
    """As `cp` does it; 0 where this way does not serve."""
    try:
        return os.copy_file_range(source, target, count, offset_src=done)
    except OSError as error:
        if error.errno in _CANNOT:
            return 0
        raise


def _by_sendfile(source: int, target: int, done: int, count: int) -> int:
    return os.sendfile(target, source, done, count)


def chmod(fd: int, mode: int) -> None:
    """fchmod(2)."""
    at("chmod", fd, mode)
    os.fchmod(fd, mode)


def truncate(fd: int, size: int) -> None:
    """ftruncate(2)."""
    at("truncate", fd, size)
    os.ftruncate(fd, size)


def fsync(fd: int) -> None:
    """What was written to the file is on the disk when this returns."""
    at("fsync", fd)
    os.fsync(fd)


# --- names ---


def fsync_folder(path: Path) -> None:
    """The names in the folder are on the disk when this returns."""
    at("fsync_folder", path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rename(old: Path, new: Path) -> None:
    """rename(2)."""
    at("rename", old, new)
    os.rename(old, new)


def exchange(one: Path, other: Path) -> None:
    """Both names change places in one step; EINVAL or ENOSYS where the filesystem cannot (some NFS, FUSE)."""
    at("exchange", one, other)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(other))


def link(old: Path, new: Path) -> None:
    """link(2)."""
    at("link", old, new)
    os.link(old, new)


def symlink(target: str, path: Path) -> None:
    """symlink(2)."""
    at("symlink", target, path)
    os.symlink(target, path)


def unlink(path: Path) -> None:
    """unlink(2)."""
    at("unlink", path)
    os.unlink(path)


def mkdir(path: Path, mode: int = 0o777) -> None:
    """mkdir(2)."""
    at("mkdir", path)
    os.mkdir(path, mode)


def rmdir(path: Path) -> None:
    """rmdir(2)."""
    at("rmdir", path)
    os.rmdir(path)


# --- processes ---


def posix_spawn(argv: Sequence[str], environment: dict[str, str], **how: object) -> int:
    """Start a program; its pid."""
    at("spawn", argv)
    return os.posix_spawn(argv[0], argv, environment, **how)  # type: ignore[arg-type]  # as given


def signal_process(pidfd: int, number: signal.Signals) -> None:
    """Signal the process behind a pidfd."""
    at("signal", pidfd, number)
    signal.pidfd_send_signal(pidfd, number)


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal a process group."""
    at("signal_group", group, number)
    os.killpg(group, number)
