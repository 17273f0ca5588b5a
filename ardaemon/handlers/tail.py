"""run.tail: the end of a run's log, and what is added to it."""

import codecs
import contextlib
import os
import re
from functools import partial
from pathlib import Path

import anyio

from ardaemon.core import file_kinds, files
from ardaemon.core import protocol as p
from ardaemon.core.errors import Overloaded
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.text import clean
from ardaemon.handlers.context import Context
from ardaemon.handlers.lookup import named, state_of
from ardaemon.host import state
from ardaemon.host.follow import appended, read_at
from ardaemon.judging import excerpt
from ardaemon.pipeline.flight import Flight
from ardaemon.rpc.dispatch import Notify

TAIL_MAX_BYTES = 8 << 10
FOLLOWERS_MAX = 64  # each holds a thread of the daemon
_OWN_LINK = re.compile(r"a[0-9]+/run\.log")  # as pipeline/apply.py makes it
OFFSET_MAX = 1 << 62  # of a file, with room for what is read there (off_t)


class Tailer:
    """Send logs to clients; a few of them follow one as it grows (FOLLOWERS_MAX)."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board
        self.followers = 0

    async def run_tail(self, params: p.Tail, notify: Notify) -> p.TailText:
        """Send the end of the log; with follow, also what is added until the run is committed."""
        experiment = await self.context.resolve(params.project, params.expr)
        run_id = await named(self.context, experiment, params.run_id)
        flight = self.board.find(experiment, run_id)
        size, text = await self.context.ask(
            experiment, lambda: _end_of(_log_of(experiment, run_id, flight), params.lines)
        )
        if params.follow and (flight is not None or params.offset is not None):
            if params.offset is None:
                await notify("run.log", {"text": text, "offset": size})
            offset = size if params.offset is None else min(max(params.offset, 0), OFFSET_MAX)
            await self._follow(_Follow(self.context, experiment, run_id, flight, offset, notify))
            text = ""
        if flight is not None:
            state_now: str = flight.state
        else:
            state_now = await state_of(self.context, experiment, run_id)
        return p.TailText(expr=experiment.slug, run_id=run_id, state=state_now, text=text)

    async def _follow(self, following: "_Follow") -> None:
        if self.followers >= FOLLOWERS_MAX:
            raise Overloaded(f"{FOLLOWERS_MAX} clients follow a log already", "end some of them")
        self.followers += 1
        try:
            await following.run()
        finally:
            self.followers -= 1


class _Follow:
    """Send what is added to a run's log, to its very end, in whole characters and clean."""

    def __init__(
        self,
        context: Context,
        experiment: Experiment,
        run_id: str,
        flight: Flight | None,
        offset: int,
        notify: Notify,
    ) -> None:
        self.context, self.experiment, self.run_id = context, experiment, run_id
        self.flight, self.offset, self.notify = flight, offset, notify
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def run(self) -> None:
        """Send until the run is committed."""
        if self.flight is not None:
            await self._while_it_runs(self.flight)
        while data := await self._read():  # what came between the last look and the end
            await self._send(data)

    async def _read(self) -> bytes:
        return await self.context.ask(self.experiment, lambda: read_at(self._log(), self.offset))

    async def _while_it_runs(self, flight: Flight) -> None:
        attempt = flight.attempts
        while not (flight.state == "committed" or flight.dropped):
            if attempt not in (0, flight.attempts):  # made again: another log, from its beginning
                self.offset, self.decoder = 0, codecs.getincrementaldecoder("utf-8")("replace")
            attempt = flight.attempts
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send_all, flight)
                await flight.until(partial(self._is_over, flight, attempt))
                tasks.cancel_scope.cancel()

    @staticmethod
    def _is_over(flight: Flight, attempt: int) -> bool:
        again = attempt != 0 and flight.handle is not None and flight.attempts != attempt
        return flight.state == "committed" or flight.dropped or again

    async def _send_all(self, flight: Flight) -> None:
        await flight.until(lambda: flight.handle is not None)
        async for data in appended(self._log(), self.offset):
            await self._send(data)

    async def _send(self, data: bytes) -> None:
        text = self.decoder.decode(data).replace("\r", "\n")
        partial_bytes = len(self.decoder.getstate()[0])  # the beginning of a character
        with anyio.CancelScope(shield=True):  # cut off in its midst, it would be lost or sent twice
            self.offset += len(data)
            await self.notify("run.log", {"text": clean(text), "offset": self.offset - partial_bytes})

    def _log(self) -> Path:
        return _log_of(self.experiment, self.run_id, self.flight)


def _end_of(path: Path, lines: int) -> tuple[int, str]:
    """Return a log's size in bytes, 0 if there is none, and its end. Raises StorageError, ForeignOwner."""
    if not os.path.lexists(path):
        return 0, ""
    with state.storage("read", path):
        fd = files.descriptor(path, file_kinds.LOG)
        try:
            size = os.fstat(fd).st_size  # of the file that was opened: the path may be gone by now
        finally:
            os.close(fd)
    return size, excerpt.excerpt(path, lines, TAIL_MAX_BYTES)


def _log_of(experiment: Experiment, run_id: str, flight: Flight | None) -> Path:
    run = experiment.run(run_id)
    return run.attempt(flight.attempts or 1).log if flight is not None else _last_log(run)


def _last_log(run: Run) -> Path:
    """Return the last attempt's log, to which the daemon's own link leads; no other link is followed."""
    with contextlib.suppress(OSError):
        if _OWN_LINK.fullmatch(link := os.readlink(run.log)):
            return run.folder / link
    return run.log
