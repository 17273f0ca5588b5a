"""Open and read files that somebody else may have put there; whatever stands there never holds us up.

open(2) waits at a FIFO for a writer, a device may act on being opened or never end, and a folder or a link
that leads in a circle is no file at all. Whatever reads a file of a project opens it here
(tests/core/test_files.py holds that). The shim imports this module, so it takes the standard library alone.
"""

import errno
import os
import stat
from io import BufferedReader

Path = str | os.PathLike[str]

_CAREFULLY = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}
SCRIPT_MAX = 16 << 20  # bytes of a script, of program.md: more than any of them has


class NotPlain(OSError):
    """Raised where no plain file stands at a path, or one that is far larger than such a file can be."""


def descriptor(path: Path, flags: int = 0) -> int:
    """Open a plain file for reading, and return its descriptor; `flags` are added to those of open(2).

    Raises NotPlain, and OSError as open(2) does.
    """
    try:
        # A device may act on being opened: look before.
        require_plain(os.lstat(path) if flags & os.O_NOFOLLOW else os.stat(path), path)
        fd = os.open(path, flags | _CAREFULLY)
    except OSError as error:
        if error.errno == errno.ELOOP and os.path.islink(path):  # else it is a folder above that leads there
            raise NotPlain(error.errno, "it is a link that leads in a circle", os.fspath(path)) from None
        raise
    try:
        require_plain(os.fstat(fd), path)
    except NotPlain:
        os.close(fd)
        raise
    return fd


def require_plain(status: os.stat_result, path: Path) -> None:
    """Raise NotPlain if `status` is not that of a plain file; the error says what it is."""
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise NotPlain(errno.EINVAL, f"it is {kind}, not a plain file", os.fspath(path))


def opened(path: Path, flags: int = 0) -> BufferedReader:
    """Open a plain file as a stream of bytes. Raises as descriptor() does."""
    return open(descriptor(path, flags), "rb")


def head(path: Path, most: int, flags: int = 0) -> bytes:
    """Return the first `most` bytes of a plain file. Raises as descriptor() does."""
    with opened(path, flags) as file:
        size = os.fstat(file.fileno()).st_size  # a buffer of `most` bytes would cost more than the reading
        data = file.read(min(size + 1, most))
        if len(data) > size:  # it has grown since, or tells no size, as in /proc
            data += file.read(most - len(data))
    return data


def read(path: Path, most: int, flags: int = 0) -> bytes:
    """Return all bytes of a plain file. Raises as descriptor() does, and NotPlain beyond `most` bytes."""
    data = head(path, most + 1, flags)
    if len(data) > most:
        raise NotPlain(errno.EFBIG, f"it is larger than {most >> 20} MiB", os.fspath(path))
    return data


def text(path: Path, errors: str = "strict", most: int = SCRIPT_MAX) -> str:
    """Return a plain file's text, in UTF-8, with the line ends of Python. Raises as read() does."""
    return read(path, most).decode("utf-8", errors).replace("\r\n", "\n").replace("\r", "\n")
