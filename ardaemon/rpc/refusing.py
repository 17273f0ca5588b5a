"""Tells why the daemon cannot start, to the clients that wait at systemd's socket for it.

systemd starts the daemon for them, and they know of no unit to ask. Unanswered, each would wait until
systemd gives up.
"""

import contextlib
import socket

from ardaemon.core.config import CONNECTIONS_MAX
from ardaemon.core.errors import ArdaemonError
from ardaemon.rpc import messages

REQUEST_MAX = 1 << 16  # bytes of a request that are taken in: it is not answered by what it says


def refuse(passed: list[socket.socket], error: ArdaemonError) -> None:
    """Answer everybody who waits at these sockets with `error`, and hang up; wait for nobody."""
    line = messages.error(None, error) + b"\n"
    for sock in passed:
        with contextlib.suppress(OSError):  # nobody waits any more, or it is no socket that listens
            sock.setblocking(False)
            for _ in range(CONNECTIONS_MAX):
                _answer(sock.accept()[0], line)


def _answer(client: socket.socket, line: bytes) -> None:
    with client, contextlib.suppress(OSError):  # the client has gone away
        client.setblocking(False)
        client.sendall(line)
        client.recv(REQUEST_MAX)  # what is left unread would make the end a broken connection (unix(7))
