"""Live events: how things stand now, as often as that changes, and no more often than every EVERY_S.

Nothing here is at work while nobody watches. A run at work changes all the time, so it is looked at every
EVERY_S: in the daemon's own memory, but for the last line of its log. Where none is at work, a change of the
board wakes this; where there are GPUs, another look at them is due every GPUS_EVERY_S.
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import anyio
import anyio.abc
import msgspec
from anyio.streams.memory import MemoryObjectSendStream

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.events import GpusSeen, LiveEvent, QueueSeen, RunProgress
from ardaemon.handlers import gpus
from ardaemon.handlers.context import Context
from ardaemon.judging.excerpt import last_line
from ardaemon.pipeline.flight import Flight
from ardaemon.queue.board import Message

EVERY_S = 2.0  # a person sees that it moves; twice as often would cost twice as much on both sides
GPUS_EVERY_S = 5.0  # as often as the sampler looks at them while nothing runs (ASKED_EVERY_S)
LONG_EVERY_S = (
    10.0  # a queue of more than RUNS_MAX that has not changed: why a run waits may have, all the same
)
RUNS_MAX = 64  # of the queue that are told, and runs at work: more than a screen has lines for
LINE_MAX = 200  # characters of a log's last line: as wide as a wide terminal

log = logging.getLogger("ardaemon.live")

Watcher = MemoryObjectSendStream[Message]


class Live:
    """Tells those who watch how things stand: one loop for all of them, which ends with the last of them."""

    def __init__(self, context: Context, tasks: anyio.abc.TaskGroup) -> None:
        self.context, self.board, self.tasks = context, context.board, tasks
        self.watchers: set[Watcher] = set()
        self.looping = self.has_gpus = False
        self.told: dict[type[LiveEvent], object] = {}  # how each kind stood when it was told last
        self.queue_seen: tuple[anyio.Event, float] | None = None  # the board's state then, and when that was

    async def join(self, watcher: Watcher) -> None:
        """Tell this subscriber at once how things stand, and from now on what is new."""
        self.has_gpus = (await self.context.overseer.inventory()).state == "ok"
        for event in self._all():
            self.board.pass_on(_message(event), [watcher])
            if not self.looping:  # there is nobody else: it need not be told again
                self.told[type(event)] = _standing(event)
        self.watchers.add(watcher)
        if not self.looping:
            self.looping = True
            self.tasks.start_soon(self.loop)

    def leave(self, watcher: Watcher) -> None:
        """Tell this subscriber nothing more."""
        self.watchers.discard(watcher)

    async def loop(self) -> None:
        """Tell what is new, as long as somebody watches."""
        try:
            while self.watchers:
                changed = self.board.changed
                try:
                    await self._tell()
                except Exception as error:  # only a view: the daemon and its runs go on
                    log.warning("not told", exc_info=error)
                await anyio.sleep(EVERY_S)
                with anyio.move_on_after(self._patience()):
                    await changed.wait()
        finally:
            self.looping = False

    def _patience(self) -> float:
        """Return how long to wait for a change of the board before the next look."""
        if any(flight.state != "queued" for flight in self.board.flights.values()):
            return 0.0
        look = self.board.gate.look_s()
        return min(GPUS_EVERY_S if self.has_gpus else math.inf, math.inf if look is None else look)

    async def _tell(self) -> None:
        if self.has_gpus:
            self.context.overseer.sampler.ask()
        for event in [*self.changes(), *await self._progress()]:
            self.board.pass_on(_message(event), self.watchers)
        self.watchers &= self.board.subscribers  # less those that were too far behind

    def _all(self) -> Iterator[QueueSeen | GpusSeen]:
        """Yield queue and GPUs as they stand."""
        yield self._queue()
        if self.has_gpus:
            yield self._gpus()

    def _queue(self, fresh: bool = False) -> QueueSeen:
        runs = tuple(self.context.views.views(RUNS_MAX, fresh))
        closed = self.board.gate.closed()
        why = closed.why if closed is not None else None
        return QueueSeen(runs=runs, total=len(self.board.flights), closed=why)

    def _gpus(self) -> GpusSeen:
        return GpusSeen(gpus=gpus.views(self.board.placement))

    def changes(self) -> Iterator[LiveEvent]:
        """Yield queue and GPUs, each if it is not as it was told last."""
        seen: list[QueueSeen | GpusSeen] = []
        if self._is_queue_due(time.monotonic()):
            seen.append(self._queue(fresh=True))  # what has changed is not looked at again
        if self.has_gpus:
            seen.append(self._gpus())
        for event in seen:
            standing = _standing(event)
            if standing != self.told.get(type(event)):
                self.told[type(event)] = standing
                yield event

    def _is_queue_due(self, now: float) -> bool:
        """Tell whether to look at the queue: at a long one if the board has changed, or after a while."""
        changed = self.board.changed
        if self.queue_seen is not None and len(self.board.flights) > RUNS_MAX:
            before, at = self.queue_seen
            if changed is before and now - at < LONG_EVERY_S:
                return False
        self.queue_seen = changed, now
        return True

    async def _progress(self) -> list[RunProgress]:
        """Return how each run at work is doing."""
        running = [flight for flight in self.board.flights.values() if flight.state == "running"]
        return [await self._of(flight) for flight in running[:RUNS_MAX]]

    async def _of(self, flight: Flight) -> RunProgress:
        line = await self._line(flight)
        view, going = flight.view(), flight.going  # after the wait: as it is now
        sample = self.context.views.live(flight.handle) if flight.handle is not None else None
        return RunProgress(
            project=view.project,
            expr=view.expr,
            run_id=view.run_id,
            elapsed=view.elapsed,
            latest=view.latest,
            step=going.step if going is not None else None,
            vram_mb=sample.vram_mb if sample is not None else None,
            rss_mb=sample.rss_mb if sample is not None else None,
            line=line,
        )

    async def _line(self, flight: Flight) -> str:
        """Return the last line of its log; "" while its disk does not answer."""
        log = flight.run.attempt(flight.attempts or 1).log
        with suppress(ArdaemonError):
            return await self.context.ask(flight.experiment, partial(last_line, log, LINE_MAX))
        return ""


def _standing(event: QueueSeen | GpusSeen) -> object:
    """Return what must be told when it changes; the rest of a run is its progress."""
    if isinstance(event, GpusSeen):
        return event
    runs = [(v.project, v.expr, v.run_id, v.state, v.position, v.why, v.held, v.priority) for v in event.runs]
    return event.total, event.closed, runs


def _message(event: LiveEvent) -> Message:
    facts: Message = msgspec.to_builtins(event)
    return facts
