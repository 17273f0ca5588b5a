"""The common part of the backends for text files with one row per line.

A row is some numbers, a step and a time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ardaemon.metrics.base import AttemptOutput, Follower, Query, Readings
from ardaemon.metrics.bookmark import Bookmark
from ardaemon.metrics.formats.growing import LINE_MAX, Growing, Reached
from ardaemon.metrics.not_finite import NotFinite
from ardaemon.metrics.own import Mine, written
from ardaemon.metrics.series import Series

STEP_NAMES = ("step", "global_step", "_step", "iteration", "iter")
WALL_NAMES = ("_timestamp", "timestamp", "wall_time")


# Bytes. Programs that buffer what they write do so in multiples of this: of one that was killed, or that left
# by os._exit(), the file ends there, and its last number may be cut.
WRITTEN_AT_ONCE = 4 << 10
# How files begin that are no text in UTF-8, and what they are.
NO_TEXT = {
    b"\xff\xfe": "in UTF-16: write it in UTF-8",
    b"\xfe\xff": "in UTF-16: write it in UTF-8",
    b"\x1f\x8b": "compressed (gzip): write it as it is",
    b"BZh": "compressed (bzip2): write it as it is",
    b"\xfd7zXZ": "compressed (xz): write it as it is",
    b"\x28\xb5\x2f\xfd": "compressed (zstd): write it as it is",
    b"PK\x03\x04": "a zip archive, as spreadsheets are: write it as text",
    b"PAR1": "in the format Parquet: write it as text",
}


class Row(Struct, frozen=True):
    """The numbers that one line reports, with its step and its time (`wall`, seconds since 1970).

    `unread` says why the line reports the primary metric, or may do so, and its value cannot be read.
    """

    values: dict[str, float]
    step: int | None = None
    wall: float | None = None
    unread: str | None = None


class Parser(Protocol):
    """Reads the lines of one file in their order."""

    bad: int  # lines that cannot be read as rows
    shows_cut: ClassVar[bool]  # a last line that is cut shows it, as an object without its bracket does

    @property
    def is_cell(self) -> bool:
        """Whether the primary metric's name is a cell of a row, where each metric has a row."""

    def rows(self, line: str) -> Iterator[Row]:
        """Yield what the line reports, or what ends with it; nothing for a header."""

    def end(self) -> Iterator[Row]:
        """Yield what is left at the end of the file."""


def step_of(values: dict[str, float]) -> int | None:
    """Return the step that a row names (STEP_NAMES, in upper or lower case); None if it names none."""
    folded = {name.casefold(): value for name, value in values.items()}
    steps = (folded.get(name) for name in STEP_NAMES)
    return next((int(value) for value in steps if value is not None and value.is_integer()), None)


def wall_of(values: dict[str, float]) -> float | None:
    """Return the time that a row names (WALL_NAMES); None if it names none."""
    return next((values[name] for name in WALL_NAMES if name in values), None)


class _FileState(Struct, frozen=True):
    """How far one file has been read; `parser` is that of its backend."""

    reached: Reached
    parser: Any
    no_text: str | None
    begun: int
    passed: int
    line: int


class _ReadingState(Struct, frozen=True):
    """How far the files of an attempt have been read: `file` is the number of the one under way."""

    file: int
    state: _FileState
    series: Series
    problems: list[str]


class _RowsFile:
    """One file of rows, and how far it has been read."""

    def __init__(self, mine: Mine, new_parser: Callable[[], Parser]) -> None:
        self.growing, self.offset = Growing(mine.path), mine.offset
        self.parser, self._new_parser = new_parser(), new_parser
        self.no_text: str | None = None
        self._begun, self._passed, self._line = 1, 0, 0

    def state(self) -> _FileState:
        """Return how far it has been read, where all rows of the pieces that were read are taken."""
        reached = self.growing.reached()
        return _FileState(reached, self.parser, self.no_text, self._begun, self._passed, self._line)

    def go_on(self, state: _FileState) -> None:
        """Go on where an earlier reading was. Raises ValidationError if no parser of this kind was there."""
        self.parser = msgspec.convert(state.parser, type(self.parser), str_keys=True)
        self.growing.go_on(state.reached)
        self.no_text, self._begun = state.no_text, state.begun
        self._passed, self._line = state.passed, state.line

    def rows(self, *, over: bool) -> Iterator[Row]:
        """Yield the new rows that the run itself wrote. Raises OSError.

        Lines from before the launch are parsed too, for the header in them. With `over` the writer has ended,
        so a last line without a line end counts as well.
        """
        for at, line in self.growing.lines():
            yield from self._rows(at, line)
        yield from self._passed_over()
        if over:
            yield from self._last(*(self.growing.rest() or (self.growing.at, b"")))

    def _last(self, at: int, line: bytes) -> Iterator[Row]:
        if line:
            yield from self._rows(at, line)
        if at >= self.offset and self.no_text is None:
            yield from self._told(self.parser.end())
        if line and not self.parser.shows_cut and (at + len(line)) % WRITTEN_AT_ONCE == 0:
            yield Row({}, unread=f"{self._where} may be cut: nothing ends it, and its writer wrote in blocks")

    def _rows(self, at: int, line: bytes) -> Iterator[Row]:
        if self.growing.begun != self._begun:  # the file was replaced
            self.parser, self._begun, self._line = self._new_parser(), self.growing.begun, 0
        if at == 0:
            self.no_text = next((what for begin, what in NO_TEXT.items() if line.startswith(begin)), None)
        yield from self._passed_over()
        for part in line.decode("utf-8", "replace").rstrip("\r").split("\r") if self.no_text is None else ():
            self._line += 1
            for row in self._told(self.parser.rows(part)):
                if at >= self.offset:
                    yield row

    def _passed_over(self) -> Iterator[Row]:
        """Yield a row without a value where a line was passed over since the last call."""
        if self.growing.too_long > self._passed:
            self._passed = self.growing.too_long
            self._line += 1
            yield Row({}, unread=f"{self._where} has more than {LINE_MAX >> 20} MiB, and was passed over")

    def _told(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Say of each row without a value where it stands."""
        for row in rows:
            yield replace(row, unread=f"{self._where} {row.unread}") if row.unread else row

    @property
    def _where(self) -> str:
        return f"line {self._line} of {self.growing.path.name}"


@dataclass
class RowsBackend:
    """Reads files of rows: those of the session's path, else those that the first of `defaults` matches.

    `parser` makes a parser for the primary metric of that name.
    """

    name: str
    defaults: tuple[str, ...]
    names: str
    parser: Callable[[str], Parser]

    def pattern(self, attempt: AttemptOutput, query: Query) -> str:
        """Return the session's path, else the first of the backend's own that this run has files for."""
        own = (pattern for pattern in self.defaults if attempt.mine(pattern, self.names))
        return query.path or next(own, self.defaults[0])

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Read all rows of the run's files, the file that was written last at the end."""
        files = sorted(_mine(self, attempt, query), key=written)
        if not files:
            problem = attempt.absent(self.pattern(attempt, query))
            return Readings(self.name, {}, problem=problem, absent=True)
        reading = _Reading(self, files, query, Bookmark(attempt, query, self.name, files))
        reading.read()
        series, problems = reading.series, reading.problems
        detail = attempt.shown(files[-1].path) + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        return series.readings(self.name, "; ".join(problems) or None, detail, absent=reading.absent())

    def file(self, mine: Mine, query: Query) -> _RowsFile:
        """Return a file of this kind, of which nothing is read yet."""
        return _RowsFile(mine, partial(self.parser, query.primary.metric))

    def follower(self, attempt: AttemptOutput, query: Query) -> Follower:
        """Return a follower, for an attempt that is still running."""
        return RowsFollower(self, attempt, query)


class _Reading:
    """One reading of all files, the one that was written last at the end; it begins at its bookmark."""

    def __init__(self, backend: RowsBackend, files: Sequence[Mine], query: Query, bookmark: Bookmark) -> None:
        self.series, self.problems = Series(query), list[str]()
        self._files = [backend.file(mine, query) for mine in files]
        self._first, self._bookmark = 0, bookmark
        state = bookmark.found(_ReadingState)
        if state is not None and state.file in range(len(files)):
            self._files[state.file].go_on(state.state)
            self._first, self.series, self.problems = state.file, state.series, state.problems

    def read(self) -> None:
        """Read what is left."""
        for number in range(self._first, len(self._files)):
            self._files[number].growing.between = partial(self._between, number)
            self._read(self._files[number])

    def _read(self, file: _RowsFile) -> None:
        name = file.growing.path.name
        try:
            for row in file.rows(over=True):
                _add(self.series, row)
        except OSError as error:
            self.problems.append(f"{name} cannot be read: {error.strerror}")
        if file.no_text is not None:
            self.problems.append(f"{name} is {file.no_text}")
        if file.parser.bad:
            self.problems.append(f"{file.parser.bad} lines of {name} cannot be read as rows")

    def absent(self) -> str | None:
        """Say why the primary metric was never reported, where a table has its name in a row."""
        if not any(file.parser.is_cell for file in self._files):
            return None
        name = self.series.query.primary.metric
        return f"{name} is a cell of rows, and no column: write a column for each metric, not a row"

    def _between(self, number: int, size: int) -> None:
        self._bookmark.reached(size, partial(self._state, number))

    def _state(self, number: int) -> _ReadingState:
        return _ReadingState(number, self._files[number].state(), self.series, self.problems)


class RowsFollower:
    """Follows the primary metric in files that grow, and in files that appear later."""

    def __init__(self, backend: RowsBackend, attempt: AttemptOutput, query: Query) -> None:
        self.latest: float | None = None
        self.step: int | None = None
        self.not_finite = NotFinite()
        self._backend, self._attempt, self._query = backend, attempt, query
        self._files: dict[Path, _RowsFile] = {}

    def feed(self) -> None:
        """Read what was added."""
        for mine in _mine(self._backend, self._attempt, self._query):
            self._files.setdefault(mine.path, self._backend.file(mine, self._query))
        for file in self._files.values():
            series = Series(self._query, self.not_finite)
            try:
                for row in file.rows(over=False):
                    _add(series, row)
            except OSError:
                continue  # the file is gone for now or for good: this is but a view of a run at work
            if series.primary is not None or series.unread is not None:
                self.latest, self.step = series.latest, series.step


def _mine(backend: RowsBackend, attempt: AttemptOutput, query: Query) -> list[Mine]:
    return attempt.mine(backend.pattern(attempt, query), backend.names)


def _add(series: Series, row: Row) -> None:
    for name, value in row.values.items():
        series.add(name, value, row.step, row.wall)
    if row.unread is not None:
        series.add_unread(row.unread)
