"""Open and read files that somebody else may have put there; whatever stands there never holds us up.

open(2) waits at a FIFO for a writer, a device may act on being opened or never end, and a folder or a link
that leads in a circle is no file at all. A link may lead to any file of ours, and another user's file may
say what he likes. So whoever reads a file of a project opens it here, and says of which kind it is
(core/file_kinds.py); tests/core/test_files.py holds that. The shim imports this module, so it takes the
standard library alone.
"""

import errno
import os
import stat
from io import BufferedReader, FileIO

from ardaemon.core import interrupting
from ardaemon.core.file_kinds import CONFIG, Kind
from ardaemon.core.owner import is_ours, user

TYPE_CHECKING = False  # typing costs more to import than this module, and the shim loads it
if TYPE_CHECKING:
    from collections.abc import Sequence

Path = str | os.PathLike[str]

_CAREFULLY = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TYPES = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}


class NotPlain(OSError):
    """Raised where no plain file (or no folder) stands at a path, or one that is too large for its kind."""


class ForeignFile(OSError):
    """Raised for a file of another user, who is not trusted, or could never be; `uid` is his."""

    def __init__(self, uid: int, path: Path, could_be_trusted: bool = True) -> None:
        why = f"it belongs to another user ({user(uid)})"
        more = ", who is not `trusted`" if could_be_trusted else ""
        super().__init__(errno.EPERM, f"{why}{more}", os.fspath(path))
        self.uid = uid


def descriptor(path: Path, kind: Kind) -> int:
    """Open a plain file for reading, whatever its size, and return its descriptor.

    Raises NotPlain, ForeignFile, and OSError as open(2) does.
    """
    return _open(path, kind)[0]


def _open(path: Path, kind: Kind) -> tuple[int, int]:
    """Open a plain file as descriptor() does; return its size as well, for most readers need it."""
    try:
        # A device may act on being opened: look before.
        require_plain(os.stat(path, follow_symlinks=kind.links), path)
        fd = os.open(path, _CAREFULLY | (0 if kind.links else os.O_NOFOLLOW))
    except OSError as error:
        if error.errno == errno.ELOOP and os.path.islink(path):  # else it is a folder above that leads there
            why = "it is a link that leads in a circle" if kind.links else "it is a link, not a plain file"
            raise NotPlain(error.errno, why, os.fspath(path)) from None
        raise
    try:
        status = os.fstat(fd)
        require_plain(status, path)
        if not kind.anybodys:
            _require_ours(fd, status.st_uid, path, kind)
    except BaseException:
        os.close(fd)
        raise
    return fd, status.st_size


def require_plain(status: os.stat_result, path: Path) -> None:
    """Raise NotPlain if `status` is not that of a plain file; the error says what it is."""
    if not stat.S_ISREG(status.st_mode):
        what = _TYPES.get(stat.S_IFMT(status.st_mode), "something else")
        raise NotPlain(errno.EINVAL, f"it is {what}, not a plain file", os.fspath(path))


def _require_ours(fd: int, uid: int, path: Path, kind: Kind) -> None:
    """Raise ForeignFile unless the open file is ours or root's, or lies in a folder that is trusted."""
    if is_ours(uid) or (kind.trusted and _is_trusted(os.readlink(f"/proc/self/fd/{fd}"))):
        return
    raise ForeignFile(uid, path, kind.trusted)


def _is_trusted(path: str) -> bool:
    """Return whether the file lies in a folder that config.toml, as it is now, names in `trusted`.

    A config.toml with a fault, as one that is half saved, trusts nobody: the file is refused as another
    user's. Whoever starts a daemon or a client with that config.toml hears of its fault.
    """
    from ardaemon.core import trust  # hardly ever needed
    from ardaemon.core.errors import UsageError

    try:
        return trust.is_trusted(path, trusted_folders)
    except UsageError:
        return False


def trusted_folders() -> "Sequence[str]":
    """Return `trusted` of config.toml as it is now. Raises UsageError naming file and fault."""
    from ardaemon.core import places

    path = places.config_file()
    if not os.path.lexists(path):
        return ()
    from ardaemon.core import trust  # slower to load

    return trust.folders(path, config_text)


def config_text(path: str) -> str:
    """Return the text of a config.toml. Raises as text() does."""
    return text(path, CONFIG)


def require_folder(path: Path) -> None:
    """Raise NotPlain if something else than a folder stands at `path`: a link there leads where it likes."""
    kind = stat.S_IFMT(os.lstat(path).st_mode)
    if kind != stat.S_IFDIR:
        what = _TYPES.get(kind, "a file")
        raise NotPlain(errno.ENOTDIR, f"it is {what}, not a folder", os.fspath(path))


def opened(path: Path, kind: Kind) -> BufferedReader:
    """Open a plain file as a stream. Raises as descriptor() does, and NotPlain if it is too large.

    Work that can be ended (core/interrupting.py) ends at the next read.
    """
    return BufferedReader(_Stream(_open_within(path, kind)[0]))


class _Stream(FileIO):
    """A file whose reader may be ended by somebody: a log may have gigabytes."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._check = interrupting.check()

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # all it is given
        self._check()
        return super().readinto(buffer)


def _open_within(path: Path, kind: Kind) -> tuple[int, int]:
    fd, size = _open(path, kind)
    if size > kind.most:
        os.close(fd)
        raise _too_large(path, kind)
    return fd, size


def ends(path: Path, first: int, last: int, kind: Kind) -> tuple[bytes, bytes]:
    """Return the first and the last bytes of a plain file, at most so many. Raises as opened() does."""
    fd, size = _open_within(path, kind)
    try:
        return _part(fd, min(first, size), 0), _part(fd, min(last, size), max(0, size - last))
    finally:
        os.close(fd)


def _part(fd: int, size: int, start: int) -> bytes:
    data = os.pread(fd, size, start)
    while len(data) < size and (more := os.pread(fd, size - len(data), start + len(data))):
        data += more  # it came in parts
    return data


def head(path: Path, most: int, kind: Kind) -> bytes:
    """Return the first `most` bytes of a plain file, whatever its size. Raises as descriptor() does."""
    fd, size = _open(path, kind)
    try:
        data = os.read(fd, min(size + 1, most))  # a buffer of `most` bytes would cost more than the reading
        # Read on if it has grown since, tells no size (as in /proc), or came in parts.
        while len(data) != size and len(data) < most and (more := os.read(fd, most - len(data))):
            data += more
    finally:
        os.close(fd)
    return data


def read(path: Path, kind: Kind) -> bytes:
    """Return all bytes of a plain file. Raises as opened() does."""
    data = head(path, kind.most + 1, kind)
    if len(data) > kind.most:
        raise _too_large(path, kind)
    return data


def text(path: Path, kind: Kind, errors: str = "strict") -> str:
    """Return a plain file's text, in UTF-8, with the line ends of Python. Raises as read() does."""
    return read(path, kind).decode("utf-8", errors).replace("\r\n", "\n").replace("\r", "\n")


def _too_large(path: Path, kind: Kind) -> NotPlain:
    most, unit = kind.most, "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if most >= 1 << 10:
            most, unit = most >> 10, larger
    return NotPlain(errno.EFBIG, f"it is larger than {most} {unit}", os.fspath(path))
