"""run.tail: the end of a run's log, and what is added to it."""

import codecs
import contextlib
import os
import re
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio

from ardaemon.core import file_kinds, files
from ardaemon.core import protocol as p
from ardaemon.core.errors import ArdaemonError, Overloaded
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.size import dropped
from ardaemon.core.text import clean
from ardaemon.experiment import history
from ardaemon.handlers.context import Context
from ardaemon.handlers.lookup import named, state_of
from ardaemon.host import holes, state
from ardaemon.host.follow import Piece, appended, read_at
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
        end = await self.context.ask(
            experiment, lambda: _end_of_run(experiment, run_id, flight, params.lines)
        )
        text = end.text
        if params.follow and (flight is not None or params.offset is not None):
            if params.offset is None:
                await notify("run.log", {"text": text, "offset": end.size})
            offset = end.size if params.offset is None else min(max(params.offset, 0), OFFSET_MAX)
            following = _Follow(self.context, experiment, run_id, flight, offset, notify, end.max_log)
            await self._follow(following)
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
        max_log: float | None,
    ) -> None:
        self.max_log = max_log
        self.context, self.experiment, self.run_id = context, experiment, run_id
        self.flight, self.offset, self.notify = flight, offset, notify
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def run(self) -> None:
        """Send until the run is committed."""
        if self.flight is not None:
            await self._while_it_runs(self.flight)
        while (piece := await self._read()).data:  # what came between the last look and the end
            await self._send(piece)

    async def _read(self) -> Piece:
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
        async for piece in appended(self._log(), self.offset):
            await self._send(piece)

    async def _send(self, piece: Piece) -> None:
        text = self._passed_over(piece) + self.decoder.decode(piece.data).replace("\r", "\n")
        partial_bytes = len(self.decoder.getstate()[0])  # the beginning of a character
        with anyio.CancelScope(shield=True):  # cut off in its midst, it would be lost or sent twice
            self.offset = piece.end
            await self.notify("run.log", {"text": clean(text), "offset": self.offset - partial_bytes})

    def _passed_over(self, piece: Piece) -> str:
        """Say what was dropped before it could be sent; the decoder forgets what came before it."""
        if piece.begin == self.offset:
            return ""
        self.decoder.reset()
        return f"\n{_told(piece.begin - self.offset, self.max_log)}\n"

    def _log(self) -> Path:
        return _log_of(self.experiment, self.run_id, self.flight)


class _End(NamedTuple):
    """The end of a log, its size in bytes, and the --max-log of its run in MiB."""

    size: int = 0
    text: str = ""
    max_log: float | None = None


def _end_of_run(experiment: Experiment, run_id: str, flight: Flight | None, lines: int) -> _End:
    """Return the end of a run's log. Raises StorageError, ForeignOwner."""
    return _end_of(_log_of(experiment, run_id, flight), lines, _max_log(experiment, run_id, flight))


def _end_of(path: Path, lines: int, max_log: float | None = None) -> _End:
    """Return the end of a log, and before it how much of the log was dropped, if any.

    Raises StorageError, ForeignOwner.
    """
    if not os.path.lexists(path):
        return _End()
    with state.storage("read", path):
        fd = files.descriptor(path, file_kinds.LOG)
        try:
            size = os.fstat(fd).st_size  # of the file that was opened: the path may be gone by now
            gap = holes.gap(fd) if max_log is not None else None
        finally:
            os.close(fd)
    if gap is None:
        return _End(size, excerpt.excerpt(path, lines, TAIL_MAX_BYTES), max_log)
    told = _told(gap[1] - gap[0], max_log)
    text = excerpt.excerpt(path, max(lines - 1, 1), TAIL_MAX_BYTES - len(told.encode()) - 1)
    return _End(size, "\n".join(filter(None, (told, text))), max_log)


def dropped_of(experiment: Experiment, run_id: str) -> str:
    """Say what --max-log has dropped of a committed run's log; "" if nothing. Raises StorageError."""
    max_log, path = _max_log(experiment, run_id, None), _last_log(experiment.run(run_id))
    if max_log is None or not os.path.lexists(path):
        return ""
    with state.storage("read", path):
        gap = _gap(path)
    if gap is None:
        return ""
    return f"{run_id}: {dropped(gap[1] - gap[0], max_log)}, from the middle; to keep all: --max-log none"


def _gap(path: Path) -> tuple[int, int] | None:
    fd = files.descriptor(path, file_kinds.LOG)
    try:
        return holes.gap(fd)
    finally:
        os.close(fd)


def _told(size: int, max_log: float | None) -> str:
    return f"… {dropped(size, max_log)} …"


def _max_log(experiment: Experiment, run_id: str, flight: Flight | None) -> float | None:
    """Return the --max-log of the run, in MiB; None if it has none, or if nobody can tell."""
    if flight is not None:
        return flight.record.settings.max_log
    with contextlib.suppress(ArdaemonError):
        record = history.record_of(experiment.run(run_id))
        return record.settings.max_log if record is not None else None
    return None


def _log_of(experiment: Experiment, run_id: str, flight: Flight | None) -> Path:
    run = experiment.run(run_id)
    return run.attempt(flight.attempts or 1).log if flight is not None else _last_log(run)


def _last_log(run: Run) -> Path:
    """Return the last attempt's log, to which the daemon's own link leads; no other link is followed."""
    with contextlib.suppress(OSError):
        if _OWN_LINK.fullmatch(link := os.readlink(run.log)):
            return run.folder / link
    return run.log
