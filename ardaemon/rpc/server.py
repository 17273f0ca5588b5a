"""Accepts connections on the Unix socket: from the owner's uid alone, and CONNECTIONS_MAX of them at once."""

import logging
import os
import socket
import struct
from collections.abc import Callable

import anyio
import anyio.abc
from anyio.abc import SocketAttribute

from ardaemon.core import errors
from ardaemon.core.config import CONNECTIONS_MAX
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.live_config import LiveConfig
from ardaemon.rpc import messages
from ardaemon.rpc.budget import Budget, Share
from ardaemon.rpc.connection import ClientConnection
from ardaemon.rpc.dispatch import Dispatcher, Handler

log = logging.getLogger("ardaemon.rpc")
ACCEPT_PAUSE_S = 0.1  # after a failed accept(2), as EMFILE: nothing tells when a descriptor is free again


class Server:
    """Accepts connections, checks the peer's uid with the kernel, and limits their number."""

    def __init__(
        self, handlers: dict[str, Handler], config: LiveConfig, answered: Callable[[], None] = lambda: None
    ) -> None:
        self.dispatcher, self.config, self.budget = Dispatcher(handlers), config, Budget()
        self.answered = answered  # called after each answer is sent
        self.connections = 0

    async def serve(self, sock: socket.socket) -> None:
        """Accept until cancelled.

        A lack of descriptors passes, so it is waited for and does not end the server.
        """
        listener = await anyio.abc.SocketListener.from_socket(sock)
        async with listener, anyio.create_task_group() as tasks:
            while True:
                try:
                    stream = await listener.accept()
                except anyio.BrokenResourceError as error:
                    log.warning("accept failed", extra={"facts": {"why": str(error.__cause__)}})
                    await anyio.sleep(ACCEPT_PAUSE_S)
                    continue
                tasks.start_soon(self._connection, stream)

    async def _connection(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            share = Share(self.budget)
            connection = ClientConnection(stream, self.dispatcher, self.config, share, self.answered)
            self.connections += 1
            try:
                refusal = self._refusal(stream)
                if refusal is not None:
                    await connection.send(messages.error(None, refusal))
                else:
                    await connection.run()
            except* (anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError):
                pass  # the client went away; its runs go on
            except* Exception:
                log.exception("connection failed")
            finally:
                self.connections -= 1
                share.close()

    def _refusal(self, stream: anyio.abc.SocketStream) -> ArdaemonError | None:
        raw = stream.extra(SocketAttribute.raw_socket)
        credentials = raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", credentials)
        if uid != os.getuid():
            log.warning("refused", extra={"facts": {"uid": uid, "pid": pid}})
            return errors.Refused("this daemon serves its owner alone", "start your own: arctl daemon start")
        if self.connections > CONNECTIONS_MAX:
            return errors.Overloaded(f"{CONNECTIONS_MAX} connections are open", "close some and try again")
        return None
