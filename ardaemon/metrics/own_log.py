"""The log backend's other half: a log that the script writes itself, named by --metric-path.

It is read as run.log is. Only what this run added to it counts; of several files the one that was written
last is asked first.
"""

from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from ardaemon.core import file_kinds
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.log import LogBackend
from ardaemon.metrics.log_follower import LogFollower
from ardaemon.metrics.not_finite import NotFinite
from ardaemon.metrics.own import Mine, written


@dataclass(frozen=True)
class OwnLogBackend:
    """Reads the session's path as logs (`--metrics log`); without a path, run.log."""

    log: LogBackend
    name: str = "log"
    names: str = "*.[lot][oux][gt]"  # .log, .out, .txt

    def pattern(self, attempt: AttemptOutput, query: Query) -> str:
        """Return the session's path."""
        return query.path or ""

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Return the answer of the newest file with the primary metric, else of the newest."""
        if query.path is None:
            return self.log.read(attempt, query)
        mine = sorted(attempt.mine(query.path, self.names), key=written, reverse=True)
        if not mine:
            return Readings(self.name, {}, problem=attempt.absent(query.path))
        answers = (self._read(attempt, query, one) for one in mine)
        first = next(answers)
        return next((answer for answer in (first, *answers) if answer.settled), first)

    def _read(self, attempt: AttemptOutput, query: Query, mine: Mine) -> Readings:
        here = replace(attempt, log=mine.path, log_from=mine.offset)
        return replace(self.log.read(here, query), detail=attempt.shown(mine.path))

    def follower(self, attempt: AttemptOutput, query: Query) -> "OwnLogFollower":
        """Return a follower, for an attempt that is still running."""
        return OwnLogFollower(self, attempt, query)


class OwnLogFollower:
    """Follows the primary metric in the newest of the files, as in a log."""

    def __init__(self, backend: OwnLogBackend, attempt: AttemptOutput, query: Query) -> None:
        self.latest: float | None = None
        self.step: int | None = None
        self.not_finite = NotFinite()
        self._backend, self._attempt, self._query = backend, attempt, query
        self._files: dict[Path, LogFollower] = {}

    def feed(self) -> None:
        """Read what was added; nothing without a path, or with a regex, which may take for ever."""
        if self._query.path is None or self._query.regex is not None:
            return
        newest = max(self._attempt.mine(self._query.path, self._backend.names), key=written, default=None)
        if newest is None:
            return
        if newest.path not in self._files:  # one at a time: a folder may get a new log again and again
            follower = LogFollower(newest.path, self._query, newest.offset, file_kinds.METRICS)
            self._files = {newest.path: follower}
        follower = self._files[newest.path]
        follower.feed()
        self.latest, self.step, self.not_finite = follower.latest, follower.step, follower.not_finite
