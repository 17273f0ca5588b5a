"""The mlflow backend: metrics that a run gave to MLflow, from its SQLite file (`mlflow.db` in the project).

MLflow itself tags every run that the attempt starts, because it takes the tags in $MLFLOW_RUN_CONTEXT. So all
runs may share the project's file. A file for each would cost some seconds every time, and hide the run from
`mlflow ui`. Tried with MLflow 3.17. Source: mlflow/store/tracking/dbmodels/models.py,
mlflow/tracking/context/system_environment_context.py.
"""

import glob
import json
import math
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from ardaemon.core.config import NAME_MAX
from ardaemon.metrics import bound
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.sqlite_file import (
    SUFFIX,
    Missing,
    SqliteFollower,
    Unreadable,
    columns,
    of_attempt,
    reading,
)

TAG = "ardaemon.attempt"
CONTEXT, URI = "MLFLOW_RUN_CONTEXT", "MLFLOW_TRACKING_URI"
DEFAULT = "sqlite:///mlflow.db"  # relative to the run's working directory, the project
RUNS_MAX = 500  # runs of one attempt: nested ones, folds
_SCHEME = "sqlite:///"
_SHOWN = 3  # runs that are named


def environment(run_folder: Path, run_id: str) -> dict[str, str]:
    """Return the variable that tags every MLflow run which the attempt `run_id` ("r0043-a2") starts."""
    return {CONTEXT: json.dumps({TAG: bound.name(run_folder, run_id)})}


class MlflowBackend:
    """Reads MLflow's SQLite files (`--metrics mlflow`)."""

    name = "mlflow"
    names = f"*{SUFFIX}*"

    def pattern(self, attempt: AttemptOutput, query: Query) -> str:
        """Return the session's path, else the file that MLFLOW_TRACKING_URI names."""
        if query.path:
            return query.path
        path = _default(attempt)
        return glob.escape(str(path)) if path else f"{{run_dir}}/*{SUFFIX}"

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Read every value of the attempt's runs, in the order of writing."""
        return self.follower(attempt, query).whole(self.name)

    def follower(self, attempt: AttemptOutput, query: Query) -> "MlflowFollower":
        """Return a follower, for an attempt that is still running."""
        return MlflowFollower(attempt, query)


class MlflowFollower(SqliteFollower):
    """Follows the values in MLflow's files, and reads each value once."""

    def __init__(self, attempt: AttemptOutput, query: Query) -> None:
        super().__init__(query)
        self._attempt, self._query = attempt, query
        self._last: dict[Path, int] = {}  # rowid of the last value read
        self._runs: dict[Path, tuple[list[str], str]] = {}
        self._counts: Counter[Path] = Counter()

    def read_on(self) -> None:
        """Add the new values to the series. Raises Unreadable."""
        paths = _files(self._attempt, self._query)
        for path in paths:
            if self.changed(path):
                with reading(path) as connection:
                    self._read(path, connection)
        if not any(runs for runs, _ in self._runs.values()):
            raise Missing("; ".join(f"{path.name} has no run of this attempt" for path in paths))

    def summary(self) -> str:
        """Say which runs of which files were read."""
        return "; ".join(
            f"{path.name}: {self._counts[path]} values of run {', '.join(runs[:_SHOWN])}{how}"
            for path, (runs, how) in self._runs.items()
            if runs
        )

    def _read(self, path: Path, connection: sqlite3.Connection) -> None:
        runs, _ = self._runs[path] = _runs(connection, self._attempt)
        for rowid, name, value, step, wall in _values(connection, runs, self._last.get(path, -1)):
            self._last[path] = rowid
            self._counts[path] += 1
            self.series.add(name, value, step, wall)


def _files(attempt: AttemptOutput, query: Query) -> list[Path]:
    """Return the databases to look into. Raises Unreadable if there is none."""
    if query.path:
        paths = of_attempt(attempt, query.path)
        if not paths:
            raise Unreadable(f"--metric-path {query.path}: no {SUFFIX} file that this run wrote")
        return paths
    path = _default(attempt)
    if path is None:
        raise Unreadable(f"{URI}={attempt.environment[URI]}: only SQLite files are read ({DEFAULT})")
    if not path.is_file():
        raise Missing(f"MLflow has written no {path.name}: {path.parent}")
    return [path]


def _default(attempt: AttemptOutput) -> Path | None:
    """Return the SQLite file in MLFLOW_TRACKING_URI; None if the variable names a server or a folder."""
    uri = attempt.environment.get(URI) or DEFAULT
    if not uri.startswith(_SCHEME):
        return None
    path = unquote(uri.removeprefix(_SCHEME).partition("?")[0])
    return Path(os.path.normpath(attempt.project / path))


def _runs(connection: sqlite3.Connection, attempt: AttemptOutput) -> tuple[list[str], str]:
    """Return the ids of the attempt's runs in the order of their start, and words on how they were found.

    The words are empty for runs that have the attempt's tag.
    """
    if not columns(connection, "metrics") >= {"key", "value", "step", "timestamp", "is_nan", "run_uuid"}:
        raise Unreadable("the file has no table of MLflow's metrics")
    tag = _tag(attempt)
    tagged = connection.execute(
        "SELECT run_uuid FROM runs JOIN tags USING (run_uuid) WHERE tags.key = ? AND tags.value = ?"
        " ORDER BY start_time, runs.rowid LIMIT ?",
        (TAG, tag, RUNS_MAX),
    ).fetchall()
    if tagged:
        return [uuid for (uuid,) in tagged], ""
    # The last resort: a plain MlflowClient takes no tags from the environment.
    since = connection.execute(
        "SELECT run_uuid FROM runs WHERE start_time >= ?"
        " AND run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = ?) ORDER BY start_time, rowid LIMIT 2",
        (attempt.started_at * 1000, TAG),
    ).fetchall()
    if len(since) > 1:
        raise Unreadable(f"several runs began since this one did, and none has its tag {TAG}={tag}")
    return [uuid for (uuid,) in since], " (known by its time alone)"


def _tag(attempt: AttemptOutput) -> str | None:
    try:
        tag = json.loads(attempt.environment.get(CONTEXT, "{}"))[TAG]
    except (ValueError, KeyError, TypeError):
        return None
    return tag if isinstance(tag, str) else None


def _values(
    connection: sqlite3.Connection, runs: list[str], after: int
) -> Iterator[tuple[int, str, float, int | None, float | None]]:
    """Yield rowid, name, value, step and time (seconds since 1970) of each value, in the order of writing."""
    rows = connection.execute(
        "SELECT rowid, key, value, is_nan, step, timestamp FROM metrics"
        f" WHERE run_uuid IN ({','.join('?' * len(runs))}) AND rowid > ? AND length(key) <= ? ORDER BY rowid",
        (*runs, after, NAME_MAX),
    )
    for rowid, key, value, is_nan, step, stamp in rows:
        if isinstance(key, str) and isinstance(value, int | float):
            yield (
                rowid,
                key,
                math.nan if is_nan else _unclipped(float(value)),
                step if isinstance(step, int) else None,
                stamp / 1000 if isinstance(stamp, int) else None,
            )


def _unclipped(value: float) -> float:
    """Return the value that was logged: MLflow stores an infinity as the largest number of its sign."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value
