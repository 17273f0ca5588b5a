"""The experiment that one call of a tool is about, and the thread in which the daemon is asked."""

import os
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from arctl.base import Here
from arctl.dial import Answer
from ardaemon.core.errors import UsageError

T = TypeVar("T")
# Calls that wait for the daemon at the same time, each in a thread with a connection of its own. An agent
# makes a few; the daemon takes 512 connections, which all clients share.
CALLS_MAX = 32


class Place(Here):
    """A project and an experiment as a tool's arguments name them.

    Its calls block, so they are made in threads. Nobody can be asked here: if several experiments are meant,
    the error lists them.
    """

    def __init__(self, project: str | None, expr: str | None) -> None:
        super().__init__(expr, None if project is None else _folder(project))
        self.warnings: list[str] = []
        self._lock = Lock()
        self._busy = self._left = False

    def warn(self, answer: Answer) -> None:
        """Keep an answer's warnings for the tool's own answer."""
        self.warnings += map(str, answer.get("warnings") or ())

    def leave(self) -> None:
        """Close the connection: at once, or when the call that is under way in a thread has its answer."""
        with self._lock:
            self._left = True
            if not self._busy:
                self.client.close()

    def once(self, work: Callable[[], T]) -> T:
        """Do one piece of work that uses the connection."""
        with self._lock:
            self._busy = True
        try:
            return work()
        finally:
            with self._lock:
                self._busy = False
                if self._left:
                    self.client.close()


class Threads:
    """The threads in which the daemon is asked. A cancelled call leaves its thread to end by itself."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(CALLS_MAX)

    async def ask(self, place: Place, method: str, deadline: float | None = None, **params: Any) -> Answer:
        """Ask the daemon about a place, as Here.ask does."""
        return await self.do(partial(place.once, partial(place.ask, method, deadline=deadline, **params)))

    async def do(self, work: Callable[[], T]) -> T:
        """Do work that blocks."""
        return await to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)


def _folder(project: str) -> str:
    """Return the folder that `project` names. Raises UsageError if there is none."""
    folder = os.path.abspath(os.path.expanduser(project)) if "\0" not in project else ""
    if not os.path.isdir(folder):
        raise UsageError(f"project: there is no folder {project[:200]!r}", "give its absolute path")
    return folder
