"""Take over the sockets on which systemd listens for the daemon (sd_listen_fds(3))."""

import os
import socket
from collections.abc import MutableMapping
from pathlib import Path

from ardaemon.core.errors import UsageError

PID, COUNT, NAMES = "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"
VARIABLES = (PID, COUNT, NAMES, "LISTEN_PIDFDID")  # the last one since systemd 259
FIRST = 3  # SD_LISTEN_FDS_START
SOCKETS_MAX = 16  # ardaemon.socket has one


def take(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the sockets that were passed to this very process; the variables are gone afterwards.

    Nothing that this process starts inherits them. Raises UsageError where LISTEN_FDS counts too many.
    """
    pid, count, *_ = (environment.pop(name, "") for name in VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    return [_passed(fd) for fd in range(FIRST, FIRST + min(int(count), SOCKETS_MAX))]


def _passed(fd: int) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        return socket.socket(fileno=fd)
    except OSError as error:
        raise UsageError(
            f"{COUNT} says that descriptor {fd} is a socket, and it is none: {error.strerror}",
            f"start ardaemon without {COUNT} and {PID}, or by its unit: arctl daemon start",
        ) from error


def choose(passed: list[socket.socket], path: Path) -> socket.socket | None:
    """Return the socket of those passed that listens at `path`; None if none was passed, or its file is gone.

    Raises UsageError if sockets were passed and none is for `path`: clients would not find the daemon.
    """
    fit = [sock for sock in passed if _listens_at(sock, path)]
    if passed and not fit:
        raise UsageError(
            f"systemd listens at {_addresses(passed)}, and arctl asks at {path}",
            f"set ListenStream={path} in ardaemon.socket, or: arctl daemon install --socket --force",
        )
    return fit[0] if fit and path.is_socket() else None


def _listens_at(sock: socket.socket, path: Path) -> bool:
    is_stream = sock.family == socket.AF_UNIX and sock.type == socket.SOCK_STREAM
    return (
        is_stream
        and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        and sock.getsockname() == str(path)
    )


def _addresses(passed: list[socket.socket]) -> str:
    return ", ".join(str(sock.getsockname()) for sock in passed)
