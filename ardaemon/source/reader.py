"""The daemon's reader of sources: one worker process, started when it is needed and ended when it is not."""

import logging
import time
from typing import Any

import anyio
import anyio.abc
import anyio.from_thread

from ardaemon.core.facts import CHANGES_MAX, DIFF_MAX, VALUE_MAX, Change
from ardaemon.host.worker import Worker, WorkerAnswer, WorkerLost
from ardaemon.source.normal import raw

# A submit waits so long for the normal form of its train.py. One of 100 KiB takes 30 ms, a start 50 ms. Both
# take several times that where jobs keep all cores busy.
NORMAL_S = 2.0
# Nobody waits for what an edit changed but whoever asks for a report.
EDIT_S = 5.0
IDLE_S = 1800.0  # runs take minutes: the next submit shall not wait for a start (50 ms)

log = logging.getLogger("ardaemon.source")


class Edit(WorkerAnswer, frozen=True):
    """What an edit changed: fields as in core/facts.py."""

    normal: str
    changes: tuple[Change, ...] = ()
    added: int = 0
    removed: int = 0
    lines: int = 0
    diff: str = ""
    diff_cut: bool = False


class Early:
    """A question for the normal form of `source`, asked before it is known whether the answer is needed."""

    def __init__(self, reader: "Reader", source: bytes | None) -> None:
        """Ask now; None asks nothing."""
        self.reader, self.source = reader, source
        self.answered = anyio.Event()
        self.answer = ""
        if source is not None:
            reader.background.start_soon(self._ask, source)

    async def of(self, source: bytes) -> str:
        """Return the normal form of a source, which may have become another in the meantime."""
        if source != self.source:
            return await self.reader.normal(source)
        await self.answered.wait()
        return self.answer

    def of_thread(self, source: bytes) -> str:
        """Do what of() does, for a thread of the event loop's."""
        return anyio.from_thread.run(self.of, source)

    async def _ask(self, source: bytes) -> None:
        self.answer = await self.reader.normal(source)
        self.answered.set()


class Reader:
    """Asks a worker about sources. A source that it cannot read in time is known by its bytes alone."""

    def __init__(self, background: anyio.abc.TaskGroup, idle_s: float = IDLE_S) -> None:
        self.background, self.idle_s = background, idle_s
        self._lock = anyio.Lock()
        self._worker: Worker[Edit] | None = None
        self._used = 0.0  # CLOCK_MONOTONIC of the last answer

    async def normal(self, source: bytes) -> str:
        """Return the normal form of a source (source/normal.py), within NORMAL_S."""
        answer = await self._ask({"edit": False}, NORMAL_S, source)
        return raw(source) if answer is None else answer.normal

    async def edit(self, before: bytes | None, after: bytes) -> Edit:
        """Return what an edit changed, within EDIT_S; where it takes longer, the normal form alone."""
        request = {"edit": True, "limits": [CHANGES_MAX, VALUE_MAX, DIFF_MAX]}
        answer = await self._ask(request, EDIT_S, after, *([] if before is None else [before]))
        return answer or Edit(id=0, normal=raw(after))

    def close(self) -> None:
        """End the worker when the daemon ends, with no event loop to wait in."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    async def _ask(self, request: dict[str, Any], seconds: float, *sources: bytes) -> Edit | None:
        """Ask the worker; None if it is late, or cannot be started."""
        asked = time.monotonic()
        with anyio.move_on_after(seconds):
            async with self._lock:
                return await self._asked(request, asked + seconds - time.monotonic(), sources)
        return None

    async def _asked(
        self, request: dict[str, Any], seconds: float, sources: tuple[bytes, ...]
    ) -> Edit | None:
        """Ask the worker, which is killed unless it answers: a payload that was cut short spoils it."""
        whole = {**request, "sizes": [len(source) for source in sources], "cpu_s": int(seconds) + 1}
        worker, answer = None, None
        try:
            worker = self._worker or self._start()
            answer = await worker.ask(whole, seconds, *sources)
        except (WorkerLost, OSError) as error:
            log.warning("source not read", extra={"facts": {"why": str(error)}})
        finally:
            self._used = time.monotonic()
            if answer is None and worker is not None:
                await self._drop(worker)
        return answer

    def _start(self) -> Worker[Edit]:
        """Start a worker. Raises OSError."""
        # On the event loop: the start waits for execve(2) alone, a millisecond.
        self._worker = Worker("source", "ardaemon.source.worker", Edit, {})
        self.background.start_soon(self._end_when_idle, self._worker)
        return self._worker

    async def _drop(self, worker: Worker[Edit]) -> None:
        self._worker = None if self._worker is worker else self._worker
        worker.kill()
        await worker.reap()

    async def _end_when_idle(self, worker: Worker[Edit]) -> None:
        """End the worker once nobody has asked for `idle_s`, within twice that."""
        while time.monotonic() < self._used + self.idle_s or self._lock.locked():
            await anyio.sleep(self.idle_s)
            if self._worker is not worker:
                return
        await self._drop(worker)
