"""The blocking socket client: one JSON-RPC 2.0 text per line (docs: DESIGN §8).

Nobody answers: arctl.starter is loaded, and starts a daemon.
"""

import json
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from arctl.dial import PROTOCOL, Answer, Busy, NotRunning, dial
from ardaemon.core.errors import DaemonUnavailable, InternalError, UsageError, from_wire

# One wait; the daemon cuts longer ones too.
WAIT_MAX_S = 7 * 86400.0
ANSWER_S = 60.0  # the longest that a daemon may think before it counts as hung
SLOW_ANSWER_S = 900.0  # the same where sealed data is hashed or a kill is verified
SLOW = ("run.submit", "experiment.", "session.")
GRACE_S = 15.0  # beyond a wait's own timeout, until its answer is here
RECONNECTS_MAX = 8  # in a row: a request that kills each daemon must not be sent for ever
STABLE_S = 5.0  # a connection that lasted so long starts that count anew
BLOCK = 1 << 16
# Asked twice these give the same answer as once; submits carry an id of their own.
REPEATABLE = frozenset(
    "run.submit run.wait run.get run.list status.get session.get queue.list daemon.info".split()
)
Notify = Callable[[Answer], None]
Resume = Callable[[], Answer | None]  # params with which a stream goes on; None: it cannot


class Lost(Exception):
    """The connection ended before the answer came."""


def _encode(request: Answer) -> bytes:
    try:
        text = json.dumps(request, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        raise UsageError(
            "an argument or the path is not UTF-8 text", "rename it, or give it as UTF-8"
        ) from None
    except ValueError:
        raise UsageError("an option is not a finite number", "nan and inf are no limits") from None


class Connection:
    """One connection to the daemon."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = bytearray()
        self._last_id = 0

    def call(self, method: str, **params: Any) -> Answer:
        """Send a request and wait for its result. Raises the daemon's error, or Lost."""
        return self.stream(method, _ignore, **params)

    def stream(self, method: str, notify: Notify, **params: Any) -> Answer:
        """As `call`; hands the params of each notification that comes before the result to `notify`."""
        self._last_id += 1
        request = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        patience = _patience(method, params)
        deadline = None if patience is None else time.monotonic() + patience
        self._send({**request, "protocol": PROTOCOL})
        while True:
            message = self._receive(deadline, method)
            if "method" in message:
                notify(message.get("params") or {})
            elif "error" in message:
                raise from_wire(message["error"])
            elif message.get("id") == self._last_id:
                return dict(message["result"])

    def close(self) -> None:
        self.socket.close()

    def _send(self, request: Answer) -> None:
        line = _encode(request)
        self.socket.settimeout(ANSWER_S)
        try:
            self.socket.sendall(line)
        except TimeoutError:
            raise _hung(request["method"], ANSWER_S) from None
        except OSError:
            # The daemon may have said why before it closed: that is read next.
            pass

    def _receive(self, deadline: float | None, method: str) -> Answer:
        scanned = 0
        while (end := self._buffer.find(b"\n", scanned)) < 0:
            scanned = len(self._buffer)
            self._fill(deadline, method)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError):
            raise InternalError(
                "the daemon sent something that is not JSON", "arctl daemon restart"
            ) from None

    def _fill(self, deadline: float | None, method: str) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise _hung(method, _patience(method, {}) or ANSWER_S)
        self.socket.settimeout(None if left is None else min(left, WAIT_MAX_S))
        try:
            data = self.socket.recv(BLOCK)
        except TimeoutError:
            return  # the deadline is looked at again
        except OSError as error:
            raise Lost(str(error)) from error
        if not data:
            raise Lost("the daemon closed the connection")
        self._buffer += data


class Client:
    """Calls that survive the daemon's death: it is started again, and asked again."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._lost = False  # a connection of ours has broken

    def call(self, method: str, *, deadline: float | None = None, **params: Any) -> Answer:
        """One call; with a `deadline` (time.monotonic) each try gets what is left of it as its timeout."""
        lost = 0
        while True:
            since = time.monotonic()
            if deadline is not None:
                params["timeout"] = max(0.0, deadline - since)
            try:
                return self._open().call(method, **params)
            except Lost as error:
                self.close()
                lost = 1 if time.monotonic() - since > STABLE_S else lost + 1
                if lost > RECONNECTS_MAX or not _repeatable(method, params):
                    raise _gone(method, error) from error
            self._notice()

    def stream(self, method: str, notify: Notify, resume: Resume | None = None, **params: Any) -> Answer:
        """One call with notifications; sent again only with what `resume` adds, which says where it was."""
        lost = 0
        while True:
            since = time.monotonic()
            try:
                return self._open().stream(method, notify, **params)
            except Lost as error:
                self.close()
                lost = 1 if time.monotonic() - since > STABLE_S else lost + 1
                more = resume() if resume is not None and lost <= RECONNECTS_MAX else None
                if more is None:
                    raise _gone(method, error) from error
                params.update(more)
            self._notice()

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(connect(again=self._lost))
        return self._connection

    def _notice(self) -> None:
        if not self._lost:
            self._lost = True
            print("the daemon went away; asking again", file=sys.stderr)


def connect(again: bool = False) -> socket.socket:
    """Connect to the daemon; start one if there is none. `again`: unless it was stopped (Stopped)."""
    try:
        return dial()
    except (NotRunning, Busy):
        from arctl import starter  # only where it is needed: it is slower to load

        return starter.start(again)


def _patience(method: str, params: Answer) -> float | None:
    """How long an answer may take; None is for ever."""
    if method == "run.wait":
        timeout = params.get("timeout")
        return None if timeout is None else float(timeout) + GRACE_S
    if params.get("follow") or method == "events.subscribe":
        return None
    return SLOW_ANSWER_S if method.startswith(SLOW) else ANSWER_S


def _repeatable(method: str, params: Answer) -> bool:
    """May it be sent again? A cancel may if it names its run: another could be the latest by then."""
    return method in REPEATABLE or (method == "run.cancel" and params.get("run_id") is not None)


def _hung(method: str, seconds: float) -> DaemonUnavailable:
    return DaemonUnavailable(
        f"the daemon did not answer {method} within {seconds:.0f} s",
        "arctl daemon logs; then: arctl daemon restart (running jobs go on)",
    )


def _gone(method: str, error: Lost) -> DaemonUnavailable:
    return DaemonUnavailable(
        f"the connection ended during {method}: {error}",
        "arctl status shows what was done; arctl daemon logs shows why",
    )


def _ignore(params: Answer) -> None:
    """Notifications of a plain call are nobody's."""
