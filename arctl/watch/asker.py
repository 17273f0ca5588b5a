"""Asks the daemon in a thread of its own, so that the screen waits for nobody."""

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from arctl.connection import Connection, ConnectionLost
from arctl.dial import Answer, Busy, NotRunning, dial
from ardaemon.core.errors import ArdaemonError, DaemonUnavailable

Call = Callable[..., Answer]  # a method's name and its parameters
Work = Callable[[Call], Any]  # what is done in the thread, with a way to call
Then = Callable[[Any], None]  # takes what the work returned, or the error that it met


class Asker:
    """A thread that does one work after the other; what came of each is handed to `post` with its `then`."""

    def __init__(self, post: Callable[[Then, Any], None]) -> None:
        self._post = post
        self._todo: queue.Queue[tuple[Work, Then] | None] = queue.Queue()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ask(self, work: Work, then: Then) -> None:
        """Have the work done; `then` gets what comes of it."""
        self._todo.put((work, then))

    def close(self) -> None:
        """End, after the work that is under way."""
        self._todo.put(None)

    def join(self, seconds: float) -> None:
        """Wait until it has ended and let go of the daemon; so long at most."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            for work, then in iter(self._todo.get, None):
                self._post(then, self._done(work))
        finally:
            self._drop()

    def _done(self, work: Work) -> Any:
        try:
            return work(self._call)
        except ArdaemonError as error:
            return error
        except (ConnectionLost, NotRunning, Busy):  # the stream of events connects again, and says so
            self._drop()
            return DaemonUnavailable("the daemon does not answer", "arctl daemon status")
        except Exception as error:  # a fault of ours: raised again where it is seen
            return error

    def _call(self, method: str, **params: Any) -> Answer:
        if self._connection is None or self._connection.closed:
            self._connection = Connection(dial())
        return self._connection.call(method, **params)

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None
