"""How long a daemon takes to answer somebody who has nothing to do with what happens meanwhile."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.neighbour import OTHER, Neighbour

PAUSE_S = 0.005  # between two questions: as often as a watch would ask, and enough to see a stop of 0.1 s


def served_s(daemon: int, ask: Callable[[], object]) -> float:
    """Return how long the daemon with that pid took for what this thread asks, in seconds.

    The time in which the daemon or the asker was ready and got no processor (/proc/*/schedstat) does not
    count: other tests run at the same time.
    """
    before, begun = _waits(daemon), time.monotonic()
    ask()
    took, after = time.monotonic() - begun, _waits(daemon)
    return took - sum(waited - before.get(thread, 0.0) for thread, waited in after.items())


def _waits(daemon: int) -> dict[Path, float]:
    """Return how long each thread of the daemon, and this one, has waited for a processor (seconds)."""
    threads = [*Path(f"/proc/{daemon}/task").iterdir()]
    threads.append(Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}"))
    waits = {}
    for thread in threads:
        with contextlib.suppress(OSError):  # it has ended
            waits[thread] = int((thread / "schedstat").read_text().split()[1]) / 1e9
    return waits


class Pulse:
    """Asks for the neighbour's status, again and again, in a thread; `worst` is the slowest (served_s)."""

    def __init__(self, neighbour: Neighbour) -> None:
        self.neighbour, self.worst, self.answers = neighbour, 0.0, 0
        self.failure: Exception | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        if error is None and self.failure is not None:
            raise self.failure

    def _ask(self) -> None:
        client = self.neighbour.lab.rpc()
        try:
            params = {"project": str(self.neighbour.project), "expr": OTHER}
            while not self._over.wait(PAUSE_S):
                took = served_s(self.neighbour.lab.pid, lambda: client.call("status.get", **params))
                self.worst, self.answers = max(self.worst, took), self.answers + 1
        except Exception as failure:
            self.failure = failure
        finally:
            client.close()
            self.neighbour.lab.clients.remove(client)
