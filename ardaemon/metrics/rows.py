"""Backends for text files of one row per line: what they share. A row is some numbers, a step and a time."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from ardaemon.metrics.base import Evidence, Follower, Query, Readings
from ardaemon.metrics.formats.growing import Growing
from ardaemon.metrics.own import Mine
from ardaemon.metrics.series import Series

STEP_NAMES = ("step", "global_step", "_step", "iteration", "iter")
WALL_NAMES = ("_timestamp", "timestamp", "wall_time")


class Row(Struct, frozen=True):
    """What one line reports."""

    values: dict[str, float]
    step: int | None = None
    wall: float | None = None


class Parser(Protocol):
    """Reads the lines of one file in their order."""

    bad: int  # lines that are no rows

    def row(self, line: str) -> Row | None:
        """What the line reports; None if nothing, as a header."""


def step_of(values: dict[str, float]) -> int | None:
    """The step that a row names, whatever the letters' case."""
    folded = {name.casefold(): value for name, value in values.items()}
    found = (folded.get(name) for name in STEP_NAMES)
    return next((int(value) for value in found if value is not None and value.is_integer()), None)


def wall_of(values: dict[str, float]) -> float | None:
    """The time that a row names."""
    return next((values[name] for name in WALL_NAMES if name in values), None)


class _File:
    """One file as it is read."""

    def __init__(self, mine: Mine, parser: Parser) -> None:
        self.growing, self.offset, self.parser = Growing(mine.path), mine.offset, parser

    def rows(self, *, over: bool) -> Iterator[Row]:
        """The run's own new rows; what stood there before is parsed for its header. Raises OSError."""
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
    """Files of rows: the session's path, else `default` in the run's folder."""

    name: str
    default: str
    names: str
    parser: Callable[[], Parser]

    def pattern(self, evidence: Evidence, query: Query) -> str:
        """The session's path, else its own."""
        return query.path or self.default

    def read(self, evidence: Evidence, query: Query) -> Readings:
        """All rows of the run's files, the file that was written last at the end."""
        files = sorted(_mine(self, evidence, query), key=_written)
        if not files:
            problem = evidence.absent(query.path or self.default)
            return Readings(self.name, {}, problem=problem, absent=True)
        series, problems = Series(query), []
        for mine in files:
            file = _File(mine, self.parser())
            try:
                for row in file.rows(over=True):
                    _add(series, row)
            except OSError as error:
                problems.append(f"{mine.path.name} cannot be read: {error.strerror}")
            if file.parser.bad:
                problems.append(f"{file.parser.bad} lines of {mine.path.name} are no rows")
        detail = evidence.shown(files[-1].path) + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        return series.readings(self.name, "; ".join(problems) or None, detail)

    def follower(self, evidence: Evidence, query: Query) -> Follower:
        """For a run that goes on."""
        return RowsFollower(self, evidence, query)


class RowsFollower:
    """The newest value of the primary metric in files that grow, and in files that come."""

    def __init__(self, backend: RowsBackend, evidence: Evidence, query: Query) -> None:
        self.latest: float | None = None
        self.step: int | None = None
        self._backend, self._evidence, self._query = backend, evidence, query
        self._files: dict[Path, _File] = {}

    def feed(self) -> None:
        """Read on."""
        for mine in _mine(self._backend, self._evidence, self._query):
            self._files.setdefault(mine.path, _File(mine, self._backend.parser()))
        for file in self._files.values():
            series = Series(self._query)
            try:
                for row in file.rows(over=False):
                    _add(series, row)
            except OSError:
                continue  # it is gone, or will be back: a view
            if series.primary is not None:
                self.latest, self.step = series.latest, series.step


def _mine(backend: RowsBackend, evidence: Evidence, query: Query) -> list[Mine]:
    return evidence.mine(query.path or backend.default, backend.names)


def _add(series: Series, row: Row) -> None:
    for name, value in row.values.items():
        series.add(name, value, row.step, row.wall)


def _written(mine: Mine) -> tuple[int, str]:
    try:
        return os.stat(mine.path).st_mtime_ns, str(mine.path)
    except OSError:  # gone since it was listed: told when it is opened
        return 0, str(mine.path)
