"""Metrics that a run gave to trackio, read from its SQLite files: one for each project, in $TRACKIO_DIR.

One row per call of log(): `metrics(run_name, step, timestamp, metrics)`, the last one a JSON object; newer
versions have a `run_id` too. Tried with 0.43, whose journal is a WAL.
"""

import glob
import os
import sqlite3
from collections import Counter
from datetime import datetime
from itertools import islice
from pathlib import Path

from ardaemon.metrics import bound
from ardaemon.metrics.base import Evidence, Query, Readings
from ardaemon.metrics.formats.json_numbers import TEXT_MAX, numbers, parsed
from ardaemon.metrics.series import Series
from ardaemon.metrics.sqlite_file import SUFFIX, Follower, Missing, Unreadable, columns, of_attempt, reading

REGISTRY = "registry-"  # begins the names of files that hold no runs
_SHOWN = 3  # names in a problem


def environment(run_folder: Path, run_id: str) -> dict[str, str]:
    """A folder for this attempt alone (`run_id`: "r0043-a2"), where the caller has not set one."""
    return {"TRACKIO_DIR": str(run_folder / "trackio" / bound.name(run_folder, run_id))}


class TrackioBackend:
    """`--metrics trackio`."""

    name = "trackio"
    names = f"*{SUFFIX}*"  # a new commit may have changed the file beside it alone

    def pattern(self, evidence: Evidence, query: Query) -> str:
        """The session's path, else the folder of trackio's files."""
        return query.path or f"{glob.escape(str(_folder(evidence)))}/*{SUFFIX}*"

    def read(self, evidence: Evidence, query: Query) -> Readings:
        """Every row of the attempt, in the order of writing."""
        return self.follower(evidence, query).whole(self.name)

    def follower(self, evidence: Evidence, query: Query) -> "TrackioFollower":
        """For a run that goes on."""
        return TrackioFollower(evidence, query, self.pattern(evidence, query))


class TrackioFollower(Follower):
    """The rows of files that grow, each read once."""

    def __init__(self, evidence: Evidence, query: Query, pattern: str) -> None:
        super().__init__(query)
        self._evidence, self._query, self._pattern = evidence, query, pattern
        self._last: dict[Path, int] = {}  # rowid of the last row read
        self._runs: dict[Path, dict[str, str]] = {}  # ids and names
        self._counts: Counter[Path] = Counter()

    def read_on(self) -> None:
        """Add what is new. Raises Unreadable."""
        paths = [path for path in of_attempt(self._evidence, self._pattern) if not _is_registry(path)]
        if not paths:
            raise Missing(f"trackio has written no {SUFFIX} file: {self._pattern}")
        for path in paths:
            if self.changed(path):
                with reading(path) as connection:
                    self._read(path, connection)
        for path, runs in self._runs.items():
            if len(runs) > 1 and not self._own(path):
                self.series = Series(self._query)
                said = f"{path.name}: several runs wrote since this one began, in no folder of its own"
                raise Unreadable(f"{said}: {_some(runs)}")

    def told(self) -> str:
        """What was read."""
        return ", ".join(
            f"{path.name}: {self._counts[path]} rows of {_some(runs) or 'no run'}"
            for path, runs in self._runs.items()
        )

    def _own(self, path: Path) -> bool:
        """In a folder that others use too, what was written since it began may be another's."""
        return bound.ours(path.parent.name, self._evidence.run_folder)

    def _read(self, path: Path, connection: sqlite3.Connection) -> None:
        known = columns(connection, "metrics")
        if not {"run_name", "step", "timestamp", "metrics"} <= known:
            raise Unreadable(f"{path.name} has no table of trackio's metrics")
        runs = self._runs.setdefault(path, {})
        since = 0.0 if self._own(path) else self._evidence.started_at
        run = "run_id" if "run_id" in known else "run_name"
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


def _folder(evidence: Evidence) -> Path:
    """Where trackio puts its files; by default beside those of the Hugging Face hub."""
    given = evidence.environment
    hub = given.get("HF_HOME") or os.path.join(given.get("HOME", "/"), ".cache", "huggingface")
    folder = given.get("TRACKIO_DIR") or os.path.join(hub, "trackio")
    return Path(os.path.normpath(evidence.project / folder))


def _seconds(stamp: object) -> float | None:
    try:
        return datetime.fromisoformat(stamp).timestamp() if isinstance(stamp, str) else None
    except (ValueError, OverflowError):
        return None


def _some(runs: dict[str, str]) -> str:
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return ", ".join(islice(runs.values(), _SHOWN)) + more
