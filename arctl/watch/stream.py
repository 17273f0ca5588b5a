"""A call with notifications that goes on over restarts of the daemon, until it is closed."""

import contextlib
import socket
import threading
from collections.abc import Callable

from arctl.client import connect
from arctl.connection import Connection, ConnectionLost
from arctl.dial import Answer, Busy, NotRunning, Stopped, dial, read_info
from ardaemon.core.errors import DaemonUnavailable

# A client gets no event when a daemon that was stopped begins to listen again: so often it tries.
RETRY_S = 1.0
# The longest that a screen's end waits for its thread, which may be starting a daemon.
LET_GO_S = 2.0
Take = Callable[[Answer], None]


class Stream:
    """One call, made again on a new connection whenever the daemon has gone away.

    run() blocks: it is for a thread, or for a command that does nothing else. close() may come from any
    thread. `take` gets each notification, `lost` the reason why none come for now. Without `starts` a daemon
    that has crashed is waited for: somebody else starts it.
    """

    def __init__(
        self,
        method: str,
        take: Take,
        lost: Callable[[str], None],
        params: Callable[[], Answer],
        starts: bool = True,
    ) -> None:
        self.method, self.lost, self.params, self.starts = method, lost, params, starts
        self._take, self._away = take, False
        self._why = ""  # why the daemon could not start, as it was said last
        self._closed = threading.Event()
        self._connection: Connection | None = None

    def run(self) -> Answer:
        """Call until there is an answer, and return it; {} once it is closed."""
        sock: socket.socket | None = connect()
        while sock is not None:
            self._connection = Connection(sock)
            try:
                return self._call(self._connection)
            except ConnectionLost as error:
                self._went_away(error)
            except DaemonUnavailable as error:  # said at systemd's socket: the daemon cannot start
                if not self._away:
                    raise
                self._cannot_come(error)
            sock = self._reconnect()
        return {}

    def close(self) -> None:
        """End the call: run() returns soon."""
        self._closed.set()
        connection = self._connection
        if connection is not None and not connection.closed:
            with contextlib.suppress(OSError):  # it went away by itself
                connection.socket.shutdown(socket.SHUT_RDWR)

    def _call(self, connection: Connection) -> Answer:
        try:
            if self._closed.is_set():  # said while this connected
                return {}
            return connection.stream(self.method, self._heard, **self.params())
        finally:
            connection.close()

    def _heard(self, notification: Answer) -> None:
        self._away, self._why = False, ""
        self._take(notification)

    def _went_away(self, error: ConnectionLost) -> None:
        """Say so, once; who went away again before anything was heard is not asked again at once."""
        if self._away:
            self._closed.wait(RETRY_S)
        elif not self._closed.is_set():
            self._away = True
            self.lost(f"the daemon went away ({error})")

    def _cannot_come(self, error: DaemonUnavailable) -> None:
        """Say why the daemon that is to come again cannot start, once for each reason."""
        if error.message != self._why:
            self._why = error.message
            self.lost(error.message)
        self._closed.wait(RETRY_S)

    def _reconnect(self) -> socket.socket | None:
        """Connect again; start a daemon that has crashed, wait for one that was stopped. None: closed."""
        if self._closed.is_set():
            return None
        try:
            if self.starts:
                return connect(again=True)
        except Stopped as error:
            self.lost(f"{error.message}; it goes on after: arctl daemon start")
        except DaemonUnavailable as error:
            self.lost(error.message)
        while not self._closed.wait(RETRY_S):
            with contextlib.suppress(NotRunning, Busy, DaemonUnavailable):
                if read_info():  # without it systemd's socket would start one that was stopped
                    return dial()
        return None
