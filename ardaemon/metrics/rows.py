"""The common part of the backends for text files with one row per line.

A row is some numbers, a step and a time.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from ardaemon.metrics.base import AttemptOutput, Follower, Query, Readings
from ardaemon.metrics.formats.growing import Growing
from ardaemon.metrics.own import Mine
from ardaemon.metrics.series import Series

STEP_NAMES = ("step", "global_step", "_step", "iteration", "iter")
WALL_NAMES = ("_timestamp", "timestamp", "wall_time")


class Row(Struct, frozen=True):
    """The numbers that one line reports, with its step and its time (`wall`, seconds since 1970)."""

    values: dict[str, float]
    step: int | None = None
    wall: float | None = None


class Parser(Protocol):
    """Reads the lines of one file in their order."""

    bad: int  # lines that cannot be read as rows

    def row(self, line: str) -> Row | None:
        """Return what the line reports; None if it reports nothing, as a header."""


def step_of(values: dict[str, float]) -> int | None:
    """Return the step that a row names (STEP_NAMES, in upper or lower case); None if it names none."""
    folded = {name.casefold(): value for name, value in values.items()}
    steps = (folded.get(name) for name in STEP_NAMES)
    return next((int(value) for value in steps if value is not None and value.is_integer()), None)


def wall_of(values: dict[str, float]) -> float | None:
    """Return the time that a row names (WALL_NAMES); None if it names none."""
    return next((values[name] for name in WALL_NAMES if name in values), None)


class _RowsFile:
    """One file of rows, and how far it has been read."""

    def __init__(self, mine: Mine, parser: Parser) -> None:
        self.growing, self.offset, self.parser = Growing(mine.path), mine.offset, parser

    def rows(self, *, over: bool) -> Iterator[Row]:
        """Yield the new rows that the run itself wrote. Raises OSError.

        Lines from before the launch are parsed too, for the header in them. With `over` the writer has ended,
        so a last line without a line end counts as well.
        """
        lines = self.growing.lines()
        for at, line in lines:
            yield from self._row(at, line)
        if over and (rest := self.growing.rest()) is not None:
            yield from self._row(*rest)

    def _row(self, at: int, line: bytes) -> Iterator[Row]:
        row = self.parser.row(line.decode("utf-8", "replace").rstrip("\r"))
        if row is not None and at >= self.offset:
            yield row


@dataclass
class RowsBackend:
    """Reads files of rows: those of the session's path, else those that `default` matches."""

    name: str
    default: str
    names: str
    parser: Callable[[], Parser]

    def pattern(self, attempt: AttemptOutput, query: Query) -> str:
        """Return the session's path, else the backend's own."""
        return query.path or self.default

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Read all rows of the run's files, the file that was written last at the end."""
        files = sorted(_mine(self, attempt, query), key=_written)
        if not files:
            problem = attempt.absent(query.path or self.default)
            return Readings(self.name, {}, problem=problem, absent=True)
        series, problems = Series(query), []
        for mine in files:
            file = _RowsFile(mine, self.parser())
            try:
                for row in file.rows(over=True):
                    _add(series, row)
            except OSError as error:
                problems.append(f"{mine.path.name} cannot be read: {error.strerror}")
            if file.parser.bad:
                problems.append(f"{file.parser.bad} lines of {mine.path.name} cannot be read as rows")
        detail = attempt.shown(files[-1].path) + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        return series.readings(self.name, "; ".join(problems) or None, detail)

    def follower(self, attempt: AttemptOutput, query: Query) -> Follower:
        """Return a follower, for an attempt that is still running."""
        return RowsFollower(self, attempt, query)


class RowsFollower:
    """Follows the primary metric in files that grow, and in files that appear later."""

    def __init__(self, backend: RowsBackend, attempt: AttemptOutput, query: Query) -> None:
        self.latest: float | None = None
        self.step: int | None = None
        self._backend, self._attempt, self._query = backend, attempt, query
        self._files: dict[Path, _RowsFile] = {}

    def feed(self) -> None:
        """Read what was added."""
        for mine in _mine(self._backend, self._attempt, self._query):
            self._files.setdefault(mine.path, _RowsFile(mine, self._backend.parser()))
        for file in self._files.values():
            series = Series(self._query)
            try:
                for row in file.rows(over=False):
                    _add(series, row)
            except OSError:
                continue  # the file is gone for now or for good: this is but a view of a run at work
            if series.primary is not None:
                self.latest, self.step = series.latest, series.step


def _mine(backend: RowsBackend, attempt: AttemptOutput, query: Query) -> list[Mine]:
    return attempt.mine(query.path or backend.default, backend.names)


def _add(series: Series, row: Row) -> None:
    for name, value in row.values.items():
        series.add(name, value, row.step, row.wall)


def _written(mine: Mine) -> tuple[int, str]:
    try:
        return os.stat(mine.path).st_mtime_ns, str(mine.path)
    except OSError:  # gone since it was listed: opening it will say so
        return 0, str(mine.path)
