"""The blocking client: calls that a restart of the daemon does not end.

Where nobody answers, arctl.starter is loaded and starts a daemon.
"""

import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from arctl.connection import Connection, ConnectionLost, Notify, Tell
from arctl.dial import PROTOCOL, Answer, Busy, NotRunning, dial, read_info
from ardaemon.core.errors import DaemonUnavailable, UsageError

RECONNECTS_MAX = 8  # in a row: a request that kills each daemon must not be sent for ever
STABLE_S = 5.0  # a connection that lasted so long starts that count anew
# Of METHODS in ardaemon.core.methods, which needs msgspec; a test holds that they agree.
REPEATABLE = frozenset(
    "run.submit run.wait run.get run.list run.tail run.curve status.get status.list session.get"
    " chain.init chain.get report.get report.page history.get noise.get run.compare audit.get"
    " queue.list queue.drained gpu.list daemon.info project.adopt rpc.discover".split()
)
# Said with each error that may come from what a daemon of before does not know.
OLDER = "the daemon is of an earlier version: arctl daemon restart (running jobs go on)"
Resume = Callable[[], Answer | None]  # params with which a stream goes on; None: it cannot


def _complain(text: str) -> None:
    print(text, file=sys.stderr)


class Client:
    """Make calls that survive the daemon's death: it is started again, and asked again.

    `tell` gets a line for a person when that happens, and when an answer waits for something.
    """

    def __init__(self, tell: Tell = _complain) -> None:
        self.tell = tell
        self._connection: Connection | None = None
        self._lost = False  # a connection of ours has broken
        self._left = False

    def call(self, method: str, *, deadline: float | None = None, **params: Any) -> Answer:
        """Make one call; with a `deadline` (time.monotonic) each try gets what is left of it as its timeout.

        Raises the daemon's error; DaemonUnavailable where the connection broke and a repeat could do harm.
        """

        def once() -> Answer:
            if deadline is not None:
                params["timeout"] = max(0.0, deadline - time.monotonic())
            return self._open().call(method, **params)

        try:
            return self._insist(method, once, lambda: _repeatable(method, params))
        except UsageError as error:
            if _theirs() < PROTOCOL:
                error.mend = "; ".join(filter(None, (error.mend, OLDER)))
            raise

    def stream(self, method: str, notify: Notify, resume: Resume | None = None, **params: Any) -> Answer:
        """Make one call with notifications, again only with what `resume` adds, which says where it was."""

        def goes_on() -> bool:
            more = resume() if resume is not None else None
            params.update(more or {})
            return more is not None

        return self._insist(method, lambda: self._open().stream(method, notify, **params), goes_on)

    def _insist(self, method: str, once: Callable[[], Answer], may_repeat: Callable[[], bool]) -> Answer:
        """Make a call; make it again each time the daemon goes away in it, as long as that is harmless."""
        lost = 0
        while True:
            since = time.monotonic()
            try:
                return once()
            except ConnectionLost as error:
                self.close()
                if self._left:
                    raise _gone(method, error) from error
                lost = 1 if time.monotonic() - since > STABLE_S else lost + 1
                if lost > RECONNECTS_MAX or not may_repeat():
                    raise _gone(method, error) from error
            self._notice()

    def speaks(self, protocol: int) -> bool:
        """Tell whether the daemon that answers speaks this version of the protocol, or a later one."""
        self._open()  # a daemon that this starts has written daemon.json by then
        return _theirs() >= protocol

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def leave(self) -> None:
        """End the call that is under way in another thread, now; none is made after it."""
        self._left = True
        if self._connection is not None:
            self._connection.interrupt()

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = Connection(connect(again=self._lost), lambda line: self.tell(line))
            if self._left:  # said while this connected
                raise ConnectionLost("its caller has left")
        return self._connection

    def _notice(self) -> None:
        if not self._lost:
            self._lost = True
            self.tell("the daemon went away; asking again")


def connect(again: bool = False) -> socket.socket:
    """Connect to the daemon; start one if there is none.

    `again`: a daemon was there before; where it was stopped on purpose, Stopped is raised instead.
    """
    try:
        if again and not read_info():  # it was stopped, perhaps: systemd's socket would start it all the same
            raise NotRunning
        return dial()
    except (NotRunning, Busy):
        from arctl import starter  # only where it is needed: it is slower to load

        return starter.start(again)


def _theirs() -> int:
    """Return the version of the protocol that the daemon speaks."""
    theirs = read_info().get("protocol")
    return theirs if isinstance(theirs, int) else PROTOCOL


def _repeatable(method: str, params: Answer) -> bool:
    """Tell whether the call may be sent again; a cancel only by its run's name, for the latest may change."""
    return method in REPEATABLE or (method == "run.cancel" and params.get("run_id") is not None)


def _gone(method: str, error: ConnectionLost) -> DaemonUnavailable:
    return DaemonUnavailable(
        f"the connection ended during {method}: {error}",
        "arctl status shows what was done; arctl daemon logs shows why",
    )
