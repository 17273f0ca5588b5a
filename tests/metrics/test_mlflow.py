"""The MLflow backend, on a file with MLflow's tables: this attempt's runs by their tag, and nobody else's."""

import json
import math
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ardaemon.core.model import Primary
from ardaemon.metrics.base import Query, Readings
from ardaemon.metrics.mlflow import CONTEXT, TAG, URI, MlflowBackend, environment
from tests.support.attempt import Attempt

LOSS = Query(Primary("loss"))
NOW = 1_700_000_000.0  # the attempt began long ago: the files are newer
SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (run_uuid VARCHAR(32) PRIMARY KEY, name TEXT, status TEXT, start_time BIGINT);
CREATE TABLE IF NOT EXISTS tags (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32),
    PRIMARY KEY (key, run_uuid));
CREATE TABLE IF NOT EXISTS metrics (key VARCHAR(250), value FLOAT NOT NULL, timestamp BIGINT,
    run_uuid VARCHAR(32), step BIGINT DEFAULT 0 NOT NULL, is_nan BOOLEAN NOT NULL,
    PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan));
"""


class World(Attempt):
    """A project and one attempt."""

    started_at = NOW

    def __init__(self, root: Path, **given: str) -> None:
        run = root / "runs" / "r0001"
        super().__init__(root, run, environment(run, "r0001-a1") | given)
        self.tag = json.loads(self.environment[CONTEXT]).get(TAG)

    def put(
        self, uuid: str, *values: float, tag: str | None = None, at: float = NOW, name: str = "mlflow.db"
    ) -> None:
        """A run with values of `loss`, as MLflow keeps it."""
        with closing(sqlite3.connect(self.project / name)) as connection:
            connection.executescript(SCHEMA)
            connection.execute("INSERT INTO runs VALUES (?, 'n', 'RUNNING', ?)", (uuid, int(at * 1000)))
            if tag:
                connection.execute("INSERT INTO tags VALUES (?, ?, ?)", (TAG, tag, uuid))
            for step, value in enumerate(values):
                kept = 0.0 if math.isnan(value) else max(min(value, sys.float_info.max), -sys.float_info.max)
                row = ("loss", kept, int(at * 1000) + step, uuid, step * 10, math.isnan(value))
                connection.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", row)
            connection.commit()

    def read(self, query: Query = LOSS) -> Readings:
        """What the backend says."""
        return MlflowBackend().read(self.evidence(), query)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_runs_with_the_attempts_tag_are_read(world: World) -> None:
    world.put("old", 9.0, tag="other", at=NOW + 5)
    world.put("mine", 3.0, 1.0, 2.0, tag=world.tag)
    world.put("new", 8.0, tag="another", at=NOW + 9)
    readings = world.read()
    assert (readings.value, readings.metrics["loss"].best, readings.metrics["loss"].step) == (2.0, 1.0, 20)
    assert [(point.step, point.wall) for point in readings.curve] == [
        (0, NOW), (10, NOW + 0.001), (20, NOW + 0.002)
    ]  # fmt: skip
    assert (readings.source, readings.detail) == ("mlflow", "mlflow.db: 3 values of run mine")


def test_a_follower_reads_each_value_once(world: World) -> None:
    follower = MlflowBackend().follower(world.evidence(), LOSS)
    follower.feed()
    world.put("mine", 1.0, 2.0, tag=world.tag)
    follower.feed()
    follower.feed()
    assert (follower.latest, follower.step) == (2.0, 10)
    world.put("child", 3.0, tag=world.tag)
    follower.feed()
    assert follower.latest == 3.0
    assert len(follower.series.readings("mlflow").curve) == 3


def test_nested_runs_are_one_attempts(world: World) -> None:
    world.put("parent", 1.0, tag=world.tag)
    world.put("child", 2.0, tag=world.tag)
    assert world.read().value == 2.0
    assert world.read().detail == "mlflow.db: 2 values of run parent, child"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_last_value_that_is_not_finite_is_told(world: World, value: float) -> None:
    world.put("mine", 1.0, value, tag=world.tag)
    assert world.read().problem == f"loss is {value} at its last value"


def test_a_run_without_any_tag_is_known_by_its_time_and_it_is_said(world: World) -> None:
    """A plain MlflowClient takes no tags from the environment."""
    world.put("old", 9.0, at=NOW - 5)
    world.put("other", 9.0, tag="other")
    assert world.read().problem == "mlflow.db has no run of this attempt"
    world.put("mine", 1.0)
    readings = world.read()
    assert (readings.value, readings.detail) == (
        1.0,
        "mlflow.db: 1 values of run mine (known by its time alone)",
    )
    world.put("mine too", 2.0)
    readings = world.read()
    assert readings.metrics == {}
    assert "several runs began" in str(readings.problem)


@pytest.mark.parametrize("context", ["{}", "[]", "", "{", f'{{"{TAG}": 3}}'])
def test_a_context_of_the_callers_own_leaves_the_time(tmp_path: Path, context: str) -> None:
    world = World(tmp_path)
    world.environment[CONTEXT] = context
    world.put("mine", 1.0)
    assert world.read().value == 1.0


@pytest.mark.parametrize("absolute", [False, True])
def test_the_callers_tracking_uri_is_followed(tmp_path: Path, absolute: bool) -> None:
    (tmp_path / "a b").mkdir()
    uri = f"sqlite:///{tmp_path}/a%20b/x.db" if absolute else "sqlite:///a b/x.db?timeout=5"
    world = World(tmp_path, **{URI: uri})
    world.put("mine", 1.0, tag=world.tag, name="a b/x.db")
    assert world.read().value == 1.0


@pytest.mark.parametrize("uri", ["http://localhost:5000", "file:///x/mlruns", "mlruns"])
def test_what_is_no_sqlite_file_is_told(tmp_path: Path, uri: str) -> None:
    assert "only SQLite files are read" in str(World(tmp_path, **{URI: uri}).read().problem)


def test_a_named_path_is_read(world: World) -> None:
    world.put("mine", 1.0, tag=world.tag, name="other.db")
    assert world.read(Query(Primary("loss"), path="*.db")).value == 1.0
    assert world.read().problem == f"MLflow has written no mlflow.db: {world.project}"
    assert "nowhere" in str(world.read(Query(Primary("loss"), path="nowhere.db")).problem)


def test_a_file_with_other_tables_is_told(world: World) -> None:
    with closing(sqlite3.connect(world.project / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE metrics(key)")
    assert "no table of MLflow's metrics" in str(world.read().problem)
