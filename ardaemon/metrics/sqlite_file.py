"""Somebody else's SQLite file, read without a trace: nothing is created beside it, nothing in it changes.

What a writer that was killed leaves has to be put together first, which SQLite does by writing: the last
commits lie in the `-wal` file, or half a transaction in the database and its undoing in the `-journal`. That
is done to a copy. Even a read-only connection makes `-wal` and `-shm` where a database in WAL mode has none:
with immutable=1 it does not, and no `-wal` says that nobody has it open. Source: https://sqlite.org/wal.html
(read-only databases), https://sqlite.org/fileformat2.html (bytes 18 and 19 of the header).
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from ardaemon.core.text import one_line
from ardaemon.metrics.base import Evidence, Query, Readings
from ardaemon.metrics.series import Series

SUFFIX = ".db"
SIDES = ("-wal", "-journal")  # not `-shm`: an index of the other, made again where it is missing
COPY_MAX = 256 << 20  # bytes of a database that is put together in the temporary folder
READ_S = 20.0  # seconds for all questions to one file: a run's rows are read in far less
BUSY_S = 2.0  # that a writer may hold the file locked: one commit
_TRIES = 5  # copies, until the writer left it alone meanwhile
_BETWEEN_CHECKS = 10_000  # steps of SQLite's machine, well under a millisecond
_MODE_AT, _WAL_MODE = 18, 2
_SAID_MAX = 120  # characters of SQLite's own message
_DETAIL_MAX = 200  # characters of a problem or detail


class Unreadable(Exception):
    """The file cannot be read; the text says why."""


class Missing(Unreadable):
    """There is nothing of the attempt in any such file."""


class Follower:
    """The values of databases that grow, for a run that goes on; what is read is the backend's."""

    def __init__(self, query: Query) -> None:
        self.series = Series(query)
        self._seen: dict[Path, dict[str, tuple[int, int]]] = {}

    @property
    def latest(self) -> float | None:
        """None as well while the last value is nan or infinite."""
        return self.series.latest

    @property
    def step(self) -> int | None:
        """The step of the last value."""
        return self.series.step

    def feed(self) -> None:
        """Read on."""
        try:
            self.read_on()
        except Unreadable:  # not there yet, or locked: the reading at the end tells
            self._seen.clear()

    def read_on(self) -> None:
        """Add what is new. Raises Unreadable."""
        raise NotImplementedError

    def told(self) -> str:
        """What was read."""
        raise NotImplementedError

    def whole(self, name: str) -> Readings:
        """Everything at once, as the backend of that name says it."""
        try:
            self.read_on()
        except Unreadable as error:
            said, absent = one_line(str(error), _DETAIL_MAX), isinstance(error, Missing)
            return Readings(name, {}, problem=said, absent=absent)
        return self.series.readings(name, detail=one_line(self.told(), _DETAIL_MAX))

    def changed(self, path: Path) -> bool:
        """Was the file, or one beside it, written since this was asked last?"""
        before, self._seen[path] = self._seen.get(path), _stamps(path)
        return before != self._seen[path]


@contextmanager
def reading(path: Path, seconds: float = READ_S) -> Iterator[sqlite3.Connection]:
    """A connection to what the file holds. Raises Unreadable, also for what fails within."""
    try:
        with _place(path) as uri:
            connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
            try:
                end = time.monotonic() + seconds
                connection.set_progress_handler(lambda: time.monotonic() > end, _BETWEEN_CHECKS)
                connection.text_factory = lambda data: data.decode("utf-8", "replace")
                yield connection
            finally:
                connection.close()
    except sqlite3.Error as error:
        late = " (it took too long)" if "interrupted" in str(error) else ""
        raise Unreadable(f"{path.name}: {one_line(str(error), _SAID_MAX)}{late}") from error
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror}") from error


def of_attempt(evidence: Evidence, pattern: str) -> list[Path]:
    """The databases that a glob, or a folder, names and this attempt wrote; its commits may all be beside."""
    found = []
    for side in ("", *SIDES):
        for mine in evidence.mine(f"{pattern}{side if pattern.endswith(SUFFIX) else ''}", f"*{SUFFIX}{side}"):
            found.append(mine.path.with_name(mine.path.name.removesuffix(side)))
    return [path for path in sorted(set(found)) if path.suffix == SUFFIX and path.is_file()]


def columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """The table's; empty if there is no such table."""
    return {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}


@contextmanager
def _place(path: Path) -> Iterator[str]:
    """The address at which the file, or its copy, can be opened."""
    if not any(Path(f"{path}{side}").exists() for side in SIDES):
        with path.open("rb") as file:
            header = file.read(_MODE_AT + 1)
        # In the other mode the writers' locks are kept to, so that a half of a commit is never read.
        quiet = "&immutable=1" if header[_MODE_AT:] == bytes([_WAL_MODE]) else ""
        yield f"file:{quote(str(path))}?mode=ro{quiet}"
        return
    with tempfile.TemporaryDirectory(prefix="ardaemon-") as folder:
        yield f"file:{quote(str(_copied(path, Path(folder))))}"


def _copied(path: Path, folder: Path) -> Path:
    """A copy with what lies beside it, all of one moment."""
    copy = folder / "copy.db"
    for _ in range(_TRIES):
        before = _stamps(path)
        if sum(size for size, _ in before.values()) > COPY_MAX:
            raise Unreadable(f"{path.name} was left open and is larger than {COPY_MAX >> 20} MiB: not copied")
        for suffix in ("", *SIDES):
            with open(f"{copy}{suffix}", "wb") as target:
                if suffix in before:
                    with open(f"{path}{suffix}", "rb") as source:
                        shutil.copyfileobj(source, target)
        if _stamps(path) == before:
            return copy
    raise Unreadable(f"{path.name} is written all the time: no copy of it is whole")


def _stamps(path: Path) -> dict[str, tuple[int, int]]:
    """Size and time of writing of the file and of those beside it."""
    found = {}
    for suffix in ("", *SIDES):
        try:
            status = Path(f"{path}{suffix}").stat()
        except FileNotFoundError:
            continue
        found[suffix] = (status.st_size, status.st_mtime_ns)
    return found
