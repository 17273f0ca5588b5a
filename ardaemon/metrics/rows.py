"""The common part of the backends for text files with one row per line (metrics/rows_file.py)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msgspec import Struct, ValidationError

from ardaemon.metrics.base import AttemptOutput, Follower, Query, Readings
from ardaemon.metrics.bookmark import Bookmark
from ardaemon.metrics.not_finite import NotFinite
from ardaemon.metrics.own import Mine, written
from ardaemon.metrics.rows_file import FileState, Parser, Row, RowsFile
from ardaemon.metrics.series import Series


class _ReadingState(Struct, frozen=True):
    """How far the files of an attempt have been read: `file` is the number of the one under way."""

    file: int
    state: FileState
    series: Series
    problems: list[str]
    is_cell: bool


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

    def file(self, mine: Mine, query: Query) -> RowsFile:
        """Return a file of this kind, of which nothing is read yet."""
        return RowsFile(mine, partial(self.parser, query.primary.metric))

    def follower(self, attempt: AttemptOutput, query: Query) -> Follower:
        """Return a follower, for an attempt that is still running."""
        return RowsFollower(self, attempt, query)


class _Reading:
    """One reading of all files, the one that was written last at the end; it begins at its bookmark."""

    def __init__(self, backend: RowsBackend, files: Sequence[Mine], query: Query, bookmark: Bookmark) -> None:
        self.series, self.problems = Series(query), list[str]()
        self._files = [backend.file(mine, query) for mine in files]
        self._first, self._bookmark = 0, bookmark
        self._is_cell = False  # the primary metric's name is a cell of a file that is read
        state = bookmark.found(_ReadingState)
        if state is not None and state.file in range(len(files)):
            self._go_on(state)

    def _go_on(self, state: _ReadingState) -> None:
        try:
            self._files[state.file].go_on(state.state)
        except ValidationError:  # it is no bookmark of ours: all is read from its beginning
            return
        self._first, self.series, self.problems = state.file, state.series, state.problems
        self._is_cell = state.is_cell

    def read(self) -> None:
        """Read what is left."""
        for number in range(self._first, len(self._files)):
            self._files[number].growing.between = partial(self._between, number)
            self._read(self._files[number])

    def _read(self, file: RowsFile) -> None:
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
        self._is_cell = self._is_cell or file.parser.is_cell

    def absent(self) -> str | None:
        """Say why the primary metric was never reported, where a table has its name in a row."""
        if not self._is_cell:
            return None
        name = self.series.query.primary.metric
        return f"{name} is a cell of rows, and no column: write a column for each metric, not a row"

    def _between(self, number: int, size: int) -> None:
        self._bookmark.reached(size, partial(self._state, number))

    def _state(self, number: int) -> _ReadingState:
        state = self._files[number].state()
        return _ReadingState(number, state, self.series, self.problems, self._is_cell)


class RowsFollower:
    """Follows the primary metric in files that grow, and in files that appear later."""

    def __init__(self, backend: RowsBackend, attempt: AttemptOutput, query: Query) -> None:
        self.latest: float | None = None
        self.step: int | None = None
        self.not_finite = NotFinite()
        self._backend, self._attempt, self._query = backend, attempt, query
        self._files: dict[Path, RowsFile] = {}

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
