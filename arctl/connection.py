"""One connection to the daemon: a request, and its answer within a time that has a name.

One JSON-RPC 2.0 text per line (docs/protocol.md).
"""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

from arctl.dial import PROTOCOL, Answer
from ardaemon.core.errors import DaemonUnavailable, InternalError, UsageError, from_wire
from ardaemon.core.text import clean
from ardaemon.core.words import TOLD

# One wait; the daemon cuts longer ones too.
WAIT_MAX_S = 7 * 86400.0
ANSWER_S = 60.0  # the longest that a daemon may think before it counts as hung
# The same where sealed data is hashed, a kill verified, a chain read, or another daemon lets go first.
SLOW_ANSWER_S = 900.0
# Of METHODS in ardaemon.core.methods, which needs msgspec; a test holds that they agree.
SLOW = frozenset(
    "run.submit experiment.init experiment.seal experiment.clean session.start session.stop"
    " session.set chain.init chain.stop experiment.restore report.page project.adopt log.prune"
    " run.rerun experiment.archive".split()
)
GRACE_S = 15.0  # beyond a wait's own timeout, until its answer is here
BLOCK = 1 << 16

Notify = Callable[[Answer], None]
Tell = Callable[[str], None]


class ConnectionLost(Exception):
    """The connection ended before the answer came."""


class Hung(DaemonUnavailable):
    """The daemon lives, and did not read or answer in time."""


class Limit:
    """The time that one call may take (`seconds`; None: for ever)."""

    def __init__(self, method: str, params: Answer) -> None:
        self.method, self.seconds = method, _patience(method, params)
        self.begun = time.monotonic()

    def left(self) -> float | None:
        """Return the seconds that are left for an answer. Raises Hung where there are none."""
        if self.seconds is None:
            return None
        left = self.begun + self.seconds - time.monotonic()
        if left <= 0:
            beyond = f", {GRACE_S:g} s beyond its timeout" if self.method == "run.wait" else ""
            raise self.hung("answer", self.seconds, beyond)
        return min(left, WAIT_MAX_S)

    def for_reading(self) -> float:
        """Return the seconds that the daemon may take to read a request, however long its answer may take."""
        return ANSWER_S if self.seconds is None else min(ANSWER_S, self.seconds)

    def hung(self, what: str, seconds: float, more: str = "") -> Hung:
        """Make the error that says what the daemon did not do within so many seconds."""
        return Hung(
            f"the daemon did not {what} {self.method} within {round(seconds, 1):g} s{more}",
            "arctl daemon logs; then: arctl daemon restart (running jobs go on)",
        )


class Connection:
    """One connection to the daemon, with one request at a time.

    `tell` gets a line for a person when the daemon says what an answer waits for.
    """

    def __init__(self, sock: socket.socket, tell: Tell | None = None) -> None:
        self.socket, self._tell = sock, tell
        self._buffer = bytearray()
        self._last_id = 0

    @property
    def closed(self) -> bool:
        """Tell whether the connection was closed, by `close` or by a call that was given up."""
        return self.socket.fileno() < 0

    def call(self, method: str, **params: Any) -> Answer:
        """Send a request and wait for its result. Raises the daemon's error, Hung, or ConnectionLost."""
        return self.stream(method, _ignore, **params)

    def stream(self, method: str, notify: Notify, **params: Any) -> Answer:
        """Call; hand the params of each notification that comes before the result to `notify`."""
        if self.closed:
            raise ConnectionLost("an earlier call on it was given up")
        self._last_id += 1
        request = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        line = _encode({**request, "protocol": PROTOCOL})
        try:
            answer = self._exchange(line, notify, Limit(method, params))
        except BaseException:
            # Half a message may be on its way, and the late answer after it: the next call must meet neither.
            self.close()
            raise
        if "error" in answer:
            raise from_wire(answer["error"])
        return dict(answer["result"])

    def close(self) -> None:
        """Close the connection; it is not opened again."""
        self.socket.close()

    def interrupt(self) -> None:
        """Let the call that is under way in another thread end with ConnectionLost."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is closed
            pass

    def _exchange(self, line: bytes, notify: Notify, limit: Limit) -> Answer:
        self._send(line, limit)
        while True:
            message = self._receive(limit)
            if message.get("method") == TOLD:
                self._show(message.get("params") or {})
            elif "method" in message:
                notify(message.get("params") or {})
            elif self._is_ours(message):
                return message

    def _show(self, params: Answer) -> None:
        if self._tell is not None:
            self._tell(clean(str(params.get("line", ""))))

    def _is_ours(self, message: Answer) -> bool:
        """Tell whether a message answers the request that is under way.

        An error without an id is about a request that the daemon could not read, and there is no other one.
        """
        identity = message.get("id")
        if identity is None:
            return "error" in message
        return type(identity) is int and identity == self._last_id  # True == 1, and 1.0 == 1

    def _send(self, line: bytes, limit: Limit) -> None:
        seconds = limit.for_reading()
        self.socket.settimeout(seconds)
        try:
            self.socket.sendall(line)
        except TimeoutError:
            raise limit.hung("read", seconds) from None
        except OSError:
            # The daemon may have said why before it closed: that is read next.
            pass

    def _receive(self, limit: Limit) -> Answer:
        scanned = 0
        while (end := self._buffer.find(b"\n", scanned)) < 0:
            scanned = len(self._buffer)
            self._fill(limit)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return _decode(line)

    def _fill(self, limit: Limit) -> None:
        self.socket.settimeout(limit.left())
        try:
            data = self.socket.recv(BLOCK)
        except TimeoutError:
            return  # the limit is looked at again
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        if not data:
            raise ConnectionLost("the daemon closed the connection")
        self._buffer += data


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


def _decode(line: bytes) -> Answer:
    """Read one message of the daemon: an object with the object that belongs to its kind."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(_content(message), dict):
        raise InternalError("the daemon sent something that is no answer", "arctl daemon restart")
    return message


def _content(message: Answer) -> object:
    if "method" in message:
        return message.get("params") or {}
    return message.get("error" if "error" in message else "result")


def _patience(method: str, params: Answer) -> float | None:
    """Return how long an answer may take (seconds); None is for ever."""
    if method == "run.wait":
        timeout = params.get("timeout")
        return None if timeout is None else float(timeout) + GRACE_S
    if params.get("follow") or method == "events.subscribe":
        return None
    return SLOW_ANSWER_S if method in SLOW else ANSWER_S


def _ignore(params: Answer) -> None:
    """Ignore the notifications of a plain call: nobody asked for any."""
