"""The trackio backend: metrics that a run gave to trackio, read from its SQLite files in $TRACKIO_DIR.

There is one file for each project, with one row per call of log(): `metrics(run_name, step, timestamp,
metrics)`, of which the last is a JSON object. Newer versions have a `run_id` too. Tried with 0.43, whose
journal is a WAL.
"""

import glob
import os
import sqlite3
from collections import Counter
from datetime import datetime
from itertools import islice
from pathlib import Path

from ardaemon.metrics import bound
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.formats.json_numbers import TEXT_MAX, numbers, parsed
from ardaemon.metrics.series import Series
from ardaemon.metrics.sqlite_file import (
    SUFFIX,
    Missing,
    SqliteFollower,
    Unreadable,
    columns,
    of_attempt,
    reading,
)

REGISTRY = "registry-"  # the beginning of the names of files that hold no runs
_SHOWN = 3  # names in a problem


def environment(run_folder: Path, run_id: str) -> dict[str, str]:
    """Return the variable that gives the attempt `run_id` ("r0043-a2") a folder of its own."""
    return {"TRACKIO_DIR": str(run_folder / "trackio" / bound.name(run_folder, run_id))}


class TrackioBackend:
    """Reads trackio's SQLite files (`--metrics trackio`)."""

    name = "trackio"
    names = f"*{SUFFIX}*"  # with the files beside it: a new commit may have changed one of those alone

    def pattern(self, attempt: AttemptOutput, query: Query) -> str:
        """Return the session's path, else the files in trackio's folder."""
        return query.path or f"{glob.escape(str(_folder(attempt)))}/*{SUFFIX}*"

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Read every row of the attempt, in the order of writing."""
        return self.follower(attempt, query).whole(self.name)

    def follower(self, attempt: AttemptOutput, query: Query) -> "TrackioFollower":
        """Return a follower, for an attempt that is still running."""
        return TrackioFollower(attempt, query, self.pattern(attempt, query))


class TrackioFollower(SqliteFollower):
    """Follows the rows in trackio's files, and reads each row once."""

    def __init__(self, attempt: AttemptOutput, query: Query, pattern: str) -> None:
        super().__init__(query)
        self._attempt, self._query, self._pattern = attempt, query, pattern
        self._last: dict[Path, int] = {}  # rowid of the last row read
        self._runs: dict[Path, dict[str, str]] = {}  # ids and names
        self._counts: Counter[Path] = Counter()

    def read_on(self) -> None:
        """Add the new values to the series. Raises Unreadable."""
        paths = [path for path in of_attempt(self._attempt, self._pattern) if not _is_registry(path)]
        if not paths:
            raise Missing(f"trackio has written no {SUFFIX} file: {self._pattern}")
        for path in paths:
            if self.changed(path):
                with reading(path) as connection:
                    self._read(path, connection)
        for path, runs in self._runs.items():
            if len(runs) > 1 and not self._own(path):
                self.series = Series(self._query)
                problem = f"{path.name}: several runs wrote since this one began, in no folder of its own"
                raise Unreadable(f"{problem}: {_some(runs)}")

    def summary(self) -> str:
        """Say how many rows of which runs were read."""
        return ", ".join(
            f"{path.name}: {self._counts[path]} rows of {_some(runs) or 'no run'}"
            for path, runs in self._runs.items()
        )

    def _own(self, path: Path) -> bool:
        """Return whether the file lies in this run's own folder.

        In a folder that others use too, rows that were written since this run began may be another run's.
        """
        return bound.ours(path.parent.name, self._attempt.run_folder)

    def _read(self, path: Path, connection: sqlite3.Connection) -> None:
        names = columns(connection, "metrics")
        if not {"run_name", "step", "timestamp", "metrics"} <= names:
            raise Unreadable(f"{path.name} has no table of trackio's metrics")
        runs = self._runs.setdefault(path, {})
        since = 0.0 if self._own(path) else self._attempt.started_at
        run = "run_id" if "run_id" in names else "run_name"
        rows = connection.execute(  # rowid is the order of writing
            f"SELECT rowid, {run}, run_name, step, timestamp, metrics"
            " FROM metrics WHERE rowid > ? AND length(metrics) <= ? ORDER BY rowid",
            (self._last.get(path, -1), TEXT_MAX),
        )
        for rowid, run, name, step, stamp, text in rows:
            self._last[path] = rowid
            wall = _seconds(stamp)
            if since and (wall is None or wall < since):
                continue
            runs[run] = str(name)
            self._counts[path] += 1
            for metric, value in numbers("", parsed(text) if isinstance(text, str | bytes) else None):
                self.series.add(metric, value, step if isinstance(step, int) else None, wall)


def _is_registry(path: Path) -> bool:
    return path.name.startswith(REGISTRY)


def _folder(attempt: AttemptOutput) -> Path:
    """Return the folder of trackio's files; by default it lies beside those of the Hugging Face hub."""
    given = attempt.environment
    hub = given.get("HF_HOME") or os.path.join(given.get("HOME", "/"), ".cache", "huggingface")
    folder = given.get("TRACKIO_DIR") or os.path.join(hub, "trackio")
    return Path(os.path.normpath(attempt.project / folder))


def _seconds(stamp: object) -> float | None:
    try:
        return datetime.fromisoformat(stamp).timestamp() if isinstance(stamp, str) else None
    except (ValueError, OverflowError):
        return None


def _some(runs: dict[str, str]) -> str:
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return ", ".join(islice(runs.values(), _SHOWN)) + more
