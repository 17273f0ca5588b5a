"""Makes the listening socket: in the owner's own folder, at its mode from the first moment, one a folder.

Where systemd listens there already (activation.py), its socket is taken over instead.
"""

import os
import socket
import stat
from pathlib import Path
from typing import NamedTuple

from ardaemon.core.config import CONNECTIONS_MAX
from ardaemon.core.errors import DaemonUnavailable, StorageError
from ardaemon.host import durable, file_lock, operations

BACKLOG = CONNECTIONS_MAX  # if it is full, a client with a timeout gets EAGAIN and does not wait (connect(2))


class SocketFile(NamedTuple):
    """Where a socket that we bound lies, and which file that is."""

    path: Path
    inode: tuple[int, int] | None


class Listener(NamedTuple):
    """A socket that listens, and its file if that is ours to remove at the end: systemd's stays."""

    sock: socket.socket
    file: SocketFile | None = None

    def withdraw(self) -> None:
        """Remove the socket's file, unless another daemon's is there by now."""
        if self.file is not None and file_lock.inode(self.file.path) == self.file.inode:
            durable.remove(self.file.path)


def listen(path: Path, passed: socket.socket | None = None) -> Listener:
    """Listen at `path`, on the socket that systemd has passed, or else on a new one of mode 0600.

    A dead daemon's socket is replaced, a living one's is not. Raises DaemonUnavailable if another daemon (one
    with another state folder) listens there, and StorageError if something else is in the socket's place.
    """
    _claim(path.parent)
    sock = _bound(path) if passed is None else passed
    operations.at("listen", path)
    sock.listen(BACKLOG)  # also one that was passed: it gets our backlog, and names us as its peer
    sock.setblocking(False)
    return Listener(sock, SocketFile(path, file_lock.inode(path)) if passed is None else None)


def _bound(path: Path) -> socket.socket:
    _make_way(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)  # the mode is right from the first moment, before anyone can connect
    try:
        operations.at("bind", path)
        sock.bind(str(path))
    except OSError as error:  # a full disk, or a file system that holds no sockets
        sock.close()
        raise StorageError(
            f"no socket can be made in {path.parent}: {error.strerror or error}",
            "mend that, or set XDG_RUNTIME_DIR to a folder of yours on another disk",
        ) from error
    finally:
        os.umask(mask)
    return sock


def _claim(folder: Path) -> None:
    """Hold the folder's kernel lock until this process ends: who has it owns the socket in there."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        file_lock.claim(fd)
    except BlockingIOError:
        raise DaemonUnavailable(
            f"another daemon, with another state folder, listens in {folder}",
            "stop that one, or set XDG_RUNTIME_DIR to another folder",
        ) from None


def _make_way(path: Path) -> None:
    """Remove the socket of a dead daemon; anything else in its place is not ours to remove."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise StorageError(
            f"{path} is in the socket's place, and is not a socket", "look at it, and remove it"
        )
    operations.unlink(path)
