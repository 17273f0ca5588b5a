"""Reads another program's SQLite file without a trace: nothing is created beside it, nothing in it changes.

A writer that was killed leaves its last commits in the `-wal` file, or half a transaction in the database and
the way to undo it in the `-journal`. SQLite puts such a database together by writing, so that is done to a
copy. Even a read-only connection makes `-wal` and `-shm` beside a database in WAL mode that has none. With
immutable=1 it does not; that is safe there, because without a `-wal` nobody has the file open. Source:
https://sqlite.org/wal.html (read-only databases), https://sqlite.org/fileformat2.html (bytes 18 and 19 of the
header).
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from ardaemon.core import file_kinds, files, interrupting
from ardaemon.core.text import one_line
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.not_finite import NotFinite
from ardaemon.metrics.series import Series

SUFFIX = ".db"
SIDES = ("-wal", "-journal")  # without `-shm`, an index of `-wal`, which SQLite makes again
COPY_MAX = 256 << 20  # bytes of a database that is copied into the temporary folder
READ_S = 20.0  # for all questions to one file; a run's rows are read in far less
BUSY_S = 2.0  # for a writer's lock on the file to go: one commit
_TRIES = 5  # copies, until one is made in which the writer has not written meanwhile
_BETWEEN_CHECKS = 10_000  # steps of SQLite's machine, well under a millisecond
_MODE_AT, _WAL_MODE = 18, 2
_MESSAGE_MAX = 120  # characters of SQLite's own message
_DETAIL_MAX = 200  # characters of a problem or detail


class Unreadable(Exception):
    """The file cannot be read; the exception's text says why."""


class Missing(Unreadable):
    """No such file has anything of the attempt."""


class SqliteFollower:
    """Base of the followers of SQLite files; a backend's own class says what is read from them."""

    def __init__(self, query: Query) -> None:
        self.series = Series(query)
        self._seen: dict[Path, dict[str, tuple[int, int]]] = {}

    @property
    def latest(self) -> float | None:
        """The last value; None if there is none yet, or while it is nan or infinite."""
        return self.series.latest

    @property
    def step(self) -> int | None:
        """The step of the last value."""
        return self.series.step

    @property
    def not_finite(self) -> NotFinite:
        """How many values in a row were nan or infinite, the newest among them."""
        return self.series.not_finite

    def feed(self) -> None:
        """Read what was added."""
        try:
            self.read_on()
        except Unreadable:  # not there yet, or locked: the reading at the run's end will say so
            self._seen.clear()

    def read_on(self) -> None:
        """Add the new values to the series. Raises Unreadable."""
        raise NotImplementedError

    def summary(self) -> str:
        """Say what was read, for the answer's detail."""
        raise NotImplementedError

    def whole(self, name: str) -> Readings:
        """Read everything at once, and return the answer of the backend `name`."""
        try:
            self.read_on()
        except Unreadable as error:
            problem, absent = one_line(str(error), _DETAIL_MAX), isinstance(error, Missing)
            return Readings(name, {}, problem=problem, absent=absent)
        return self.series.readings(name, detail=one_line(self.summary(), _DETAIL_MAX))

    def changed(self, path: Path) -> bool:
        """Return whether the file, or one of those beside it, was written since the last call."""
        before, self._seen[path] = self._seen.get(path), _stamps(path)
        return before != self._seen[path]


@contextmanager
def reading(path: Path, seconds: float = READ_S) -> Iterator[sqlite3.Connection]:
    """Connect to the database in the file, for at most `seconds`.

    Raises Unreadable, also in place of an SQLite error of the block.
    """
    try:
        with _place(path) as uri:
            connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
            try:
                end, check = time.monotonic() + seconds, interrupting.check()
                connection.set_progress_handler(lambda: _is_over(check, end), _BETWEEN_CHECKS)
                connection.text_factory = lambda data: data.decode("utf-8", "replace")
                yield connection
            finally:
                connection.close()
    except sqlite3.Error as error:
        interrupting.check()()  # what ends the work comes through no query
        late = " (it took too long)" if "interrupted" in str(error) else ""
        raise Unreadable(f"{path.name}: {one_line(str(error), _MESSAGE_MAX)}{late}") from error
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror}") from error


def _is_over(check: Callable[[], None], end: float) -> bool:
    """Tell whether a query is to be given up: for its time, or for nobody waits for it."""
    try:
        check()
    except BaseException:  # said again once the query has ended
        return True
    return time.monotonic() > end


def of_attempt(attempt: AttemptOutput, pattern: str) -> list[Path]:
    """Return the databases that a glob or a folder names and that this attempt wrote.

    A database is the attempt's too if only a file beside it is: all its commits may be there.
    """
    databases = []
    for side in ("", *SIDES):
        for mine in attempt.mine(f"{pattern}{side if pattern.endswith(SUFFIX) else ''}", f"*{SUFFIX}{side}"):
            databases.append(mine.path.with_name(mine.path.name.removesuffix(side)))
    return [path for path in sorted(set(databases)) if path.suffix == SUFFIX and path.is_file()]


def columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the names of a table's columns; none if there is no such table."""
    return {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}


@contextmanager
def _place(path: Path) -> Iterator[str]:
    """Give the URI at which the file, or a copy of it, can be opened without a trace."""
    if not any(Path(f"{path}{side}").exists() for side in SIDES):
        with files.opened(path, file_kinds.METRICS) as file:
            header = file.read(_MODE_AT + 1)
        # Without WAL mode the connection respects the writers' locks, so that half a commit is never read.
        quiet = "&immutable=1" if header[_MODE_AT:] == bytes([_WAL_MODE]) else ""
        yield f"file:{quote(str(path))}?mode=ro{quiet}"
        return
    with tempfile.TemporaryDirectory(prefix="ardaemon-") as folder:
        yield f"file:{quote(str(_copied(path, Path(folder))))}"


def _copied(path: Path, folder: Path) -> Path:
    """Copy the file and those beside it as they are at one moment, and return the copy."""
    copy = folder / "copy.db"
    for _ in range(_TRIES):
        before = _stamps(path)
        if sum(size for size, _ in before.values()) > COPY_MAX:
            raise Unreadable(f"{path.name} was left open and is larger than {COPY_MAX >> 20} MiB: not copied")
        for suffix in ("", *SIDES):
            with open(f"{copy}{suffix}", "wb") as target:
                if suffix in before:
                    with files.opened(f"{path}{suffix}", file_kinds.METRICS) as source:
                        shutil.copyfileobj(source, target)
        if _stamps(path) == before:
            return copy
    raise Unreadable(f"{path.name} is written all the time: no copy of it is whole")


def _stamps(path: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of writing of the file and of those beside it, by suffix."""
    stamps = {}
    for suffix in ("", *SIDES):
        try:
            status = Path(f"{path}{suffix}").stat()
        except FileNotFoundError:
            continue
        stamps[suffix] = (status.st_size, status.st_mtime_ns)
    return stamps
