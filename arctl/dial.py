"""Connect to the daemon's socket: where it listens, who answers there, and which protocol it speaks."""

import errno
import json
import os
import socket
import sys
from typing import Any

from ardaemon.core import places
from ardaemon.core.errors import DaemonUnavailable, Incompatible

PROTOCOL = 2  # of ardaemon.core.protocol, which needs msgspec; a test holds that they agree
CONNECT_S = 5.0  # a living daemon accepts within milliseconds
OUTSIDE = 0  # the pid of a peer that is outside this process's PID namespace (pid_namespaces(7))
Answer = dict[str, Any]


class NotRunning(Exception):
    """Nobody listens on the socket."""


class Busy(Exception):
    """The socket's backlog is full at this moment."""


class Stopped(DaemonUnavailable):
    """The daemon was stopped on purpose: it is not for a waiting client to start it again."""


def dial(check: bool = True) -> socket.socket:
    """Connect to a daemon that runs. Raises NotRunning, Busy, Incompatible, DaemonUnavailable, Sandboxed."""
    info = read_info()
    path = str(info.get("socket") or places.socket_of(places.runtime_folder()))
    sock = _socket(path)
    try:
        sock.settimeout(CONNECT_S)
        _connect(sock, path)
        if peer(sock)[1] != os.getuid():
            raise DaemonUnavailable(
                f"{path} belongs to another user", "set XDG_RUNTIME_DIR to a folder of yours"
            )
        if check:
            check_protocol(info)
    except BaseException:
        sock.close()
        raise
    return sock


def require_way() -> None:
    """Raise DaemonUnavailable where a daemon could not be reached if there were one, as in a sandbox.

    Asks at a path at which nobody listens: at systemd's socket a question would start the daemon.
    """
    path = os.path.join(places.runtime_folder(), "nobody")
    with _socket(path) as sock:
        try:
            _connect(sock, path)
        except NotRunning:
            pass


def _socket(path: str) -> socket.socket:
    try:
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:
        raise _refused("socket", path, error) from error


def _connect(sock: socket.socket, path: str) -> None:
    try:
        sock.connect(path)
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError) as error:
        raise NotRunning(path) from error
    except (BlockingIOError, TimeoutError) as error:
        raise Busy(path) from error
    except OSError as error:
        raise _refused("connect", path, error) from error


def _refused(call: str, path: str, error: OSError) -> DaemonUnavailable:
    """Make the error for a system call that was refused; EPERM is a sandbox's."""
    if error.errno == errno.EPERM:
        from arctl import sandbox  # hardly ever needed

        return sandbox.sandboxed(call, path)
    return DaemonUnavailable(f"cannot connect to {path}: {error.strerror or error}", "arctl doctor")


def read_info() -> Answer:
    """Read daemon.json, which says where the daemon listens; {} if there is none to read."""
    try:
        with open(places.info_of(places.state_folder()), "rb") as file:
            info = json.load(file)
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


def check_protocol(info: Answer) -> None:
    """Raise Incompatible if this daemon's protocol is more than one version away."""
    theirs = info.get("protocol", PROTOCOL)
    if isinstance(theirs, int) and abs(theirs - PROTOCOL) > 1:
        raise Incompatible(
            f"the daemon (version {info.get('version', '?')}) speaks protocol {theirs},"
            f" this arctl protocol {PROTOCOL}",
            "arctl daemon restart (running jobs go on)",
        )


def peer(sock: socket.socket) -> tuple[int, int]:
    """Return pid and uid of who listens (unix(7), SO_PEERCRED); the pid may be OUTSIDE."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid = (int.from_bytes(credentials[i : i + 4], sys.byteorder) for i in (0, 4))
    return pid, uid
