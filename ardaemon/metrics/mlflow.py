"""Metrics that a run gave to MLflow, read from its SQLite file: `mlflow.db` in the project, by default.

Every run that the attempt starts is tagged by MLflow itself, which takes the tags in $MLFLOW_RUN_CONTEXT. So
the file may be one for all runs, as the project has it: one for each would cost some seconds every time, and
hide the run from `mlflow ui`. Tried with 3.17. Source: mlflow/store/tracking/dbmodels/models.py,
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
from ardaemon.metrics.base import Evidence, Query, Readings
from ardaemon.metrics.sqlite_file import SUFFIX, Follower, Missing, Unreadable, columns, of_attempt, reading

TAG = "ardaemon.attempt"
CONTEXT, URI = "MLFLOW_RUN_CONTEXT", "MLFLOW_TRACKING_URI"
DEFAULT = "sqlite:///mlflow.db"  # relative to where the run works, the project
RUNS_MAX = 500  # runs of one attempt: nested ones, folds
_SCHEME = "sqlite:///"
_SHOWN = 3  # runs that are named


def environment(run_folder: Path, run_id: str) -> dict[str, str]:
    """A tag for every run that the attempt (`run_id`: "r0043-a2") starts, where the caller has set none."""
    return {CONTEXT: json.dumps({TAG: bound.name(run_folder, run_id)})}


class MlflowBackend:
    """`--metrics mlflow`."""

    name = "mlflow"
    names = f"*{SUFFIX}*"

    def pattern(self, evidence: Evidence, query: Query) -> str:
        """The session's path, else the file that MLflow's address names."""
        if query.path:
            return query.path
        path = _default(evidence)
        return glob.escape(str(path)) if path else f"{{run_dir}}/*{SUFFIX}"

    def read(self, evidence: Evidence, query: Query) -> Readings:
        """Every value of the attempt's runs, in the order of writing."""
        return self.follower(evidence, query).whole(self.name)

    def follower(self, evidence: Evidence, query: Query) -> "MlflowFollower":
        """For a run that goes on."""
        return MlflowFollower(evidence, query)


class MlflowFollower(Follower):
    """The values of files that grow, each read once."""

    def __init__(self, evidence: Evidence, query: Query) -> None:
        super().__init__(query)
        self._evidence, self._query = evidence, query
        self._last: dict[Path, int] = {}  # rowid of the last value read
        self._runs: dict[Path, tuple[list[str], str]] = {}
        self._counts: Counter[Path] = Counter()

    def read_on(self) -> None:
        """Add what is new. Raises Unreadable."""
        paths = _files(self._evidence, self._query)
        for path in paths:
            if self.changed(path):
                with reading(path) as connection:
                    self._read(path, connection)
        if not any(runs for runs, _ in self._runs.values()):
            raise Missing("; ".join(f"{path.name} has no run of this attempt" for path in paths))

    def told(self) -> str:
        """What was read."""
        return "; ".join(
            f"{path.name}: {self._counts[path]} values of run {', '.join(runs[:_SHOWN])}{how}"
            for path, (runs, how) in self._runs.items()
            if runs
        )

    def _read(self, path: Path, connection: sqlite3.Connection) -> None:
        runs, _ = self._runs[path] = _runs(connection, self._evidence)
        for rowid, name, value, step, wall in _values(connection, runs, self._last.get(path, -1)):
            self._last[path] = rowid
            self._counts[path] += 1
            self.series.add(name, value, step, wall)


def _files(evidence: Evidence, query: Query) -> list[Path]:
    """The databases to look into. Raises Unreadable if there is none."""
    if query.path:
        found = of_attempt(evidence, query.path)
        if not found:
            raise Unreadable(f"--metric-path {query.path}: no {SUFFIX} file that this run wrote")
        return found
    path = _default(evidence)
    if path is None:
        raise Unreadable(f"{URI}={evidence.environment[URI]}: only SQLite files are read ({DEFAULT})")
    if not path.is_file():
        raise Missing(f"MLflow has written no {path.name}: {path.parent}")
    return [path]


def _default(evidence: Evidence) -> Path | None:
    """The file of MLflow's address; None if that is a server, or a folder."""
    uri = evidence.environment.get(URI) or DEFAULT
    if not uri.startswith(_SCHEME):
        return None
    path = unquote(uri.removeprefix(_SCHEME).partition("?")[0])
    return Path(os.path.normpath(evidence.project / path))


def _runs(connection: sqlite3.Connection, evidence: Evidence) -> tuple[list[str], str]:
    """The attempt's runs, in the order of their start, and how they are known where it is not by the tag."""
    if not columns(connection, "metrics") >= {"key", "value", "step", "timestamp", "is_nan", "run_uuid"}:
        raise Unreadable("the file has no table of MLflow's metrics")
    tag = _tag(evidence)
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
        (evidence.started_at * 1000, TAG),
    ).fetchall()
    if len(since) > 1:
        raise Unreadable(f"several runs began since this one did, and none has its tag {TAG}={tag}")
    return [uuid for (uuid,) in since], " (known by its time alone)"


def _tag(evidence: Evidence) -> str | None:
    try:
        found = json.loads(evidence.environment.get(CONTEXT, "{}"))[TAG]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _values(
    connection: sqlite3.Connection, runs: list[str], after: int
) -> Iterator[tuple[int, str, float, int | None, float | None]]:
    """Row, name, value, step and time (seconds since 1970); rowid is the order of writing."""
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
    """MLflow keeps an infinity as the largest number of its sign."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value
