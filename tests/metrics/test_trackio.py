"""The trackio backend, on files as its versions write them: this attempt's rows, and nobody else's."""

import json
import math
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from ardaemon.core.model import Primary
from ardaemon.metrics.base import Query, Readings
from ardaemon.metrics.trackio import TrackioBackend, environment
from tests.support.attempt import Attempt

LOSS = Query(Primary("loss"))
NOW = 1_700_000_000.0  # the attempt began long ago: the files are newer
# trackio 0.43, and one of 2025.
NEW = """CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL,
    timestamp TEXT NOT NULL, run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL,
    log_id TEXT, space_id TEXT)"""
OLD = """CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL,
    project_name TEXT, run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL)"""


class World(Attempt):
    """A project and one attempt."""

    started_at = NOW

    def __init__(self, root: Path, **given: str) -> None:
        run = root / "runs" / "r0001"
        super().__init__(root, run, environment(run, "r0001-a1") | given)
        self.folder = Path(self.environment["TRACKIO_DIR"])

    def put(self, *rows: dict[str, Any] | str, run: str = "a", at: float = NOW, schema: str = NEW) -> Path:
        """Log rows as trackio does, one second after the other."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "project.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(schema.replace("TABLE", "TABLE IF NOT EXISTS"))
            known = {"run_id": run} if schema == NEW else {"project_name": "p"}
            for n, row in enumerate(rows):
                stamp = datetime.fromtimestamp(at + n, UTC).isoformat()
                values = {**known, "run_name": f"name-{run}", "step": n, "timestamp": stamp}
                text = row if isinstance(row, str) else json.dumps(row)
                values["metrics"] = text.encode() if schema == NEW else text
                marks = ",".join("?" * len(values))
                connection.execute(
                    f"INSERT INTO metrics({','.join(values)}) VALUES ({marks})", (*values.values(),)
                )
            connection.commit()
        return path

    def launch(self, *patterns: str) -> Self:
        """Note what is there."""
        return super().launch("{run_dir}/**", *patterns)

    def read(self, query: Query = LOSS) -> Readings:
        """What the backend says."""
        return TrackioBackend().read(self.evidence(), query)


@pytest.mark.parametrize("schema", [NEW, OLD], ids=["0.43", "2025"])
def test_the_rows_are_read_in_the_order_of_writing(tmp_path: Path, schema: str) -> None:
    world = World(tmp_path)
    rows: list[dict[str, Any]] = [
        {"loss": 3.0, "deep": {"acc": 1}},
        {"loss": 1.0, "ok": True, "text": "x", "list": [1]},
        {"loss": 2.0},
    ]
    world.put(*rows, schema=schema)
    readings = world.read()
    assert {name: metric.last for name, metric in readings.metrics.items()} == {"loss": 2.0, "deep.acc": 1.0}
    assert (readings.metrics["loss"].best, readings.metrics["loss"].step) == (1.0, 2)
    assert [(point.step, point.wall) for point in readings.curve] == [(0, NOW), (1, NOW + 1), (2, NOW + 2)]
    assert readings.source == "trackio"
    assert readings.detail == "project.db: 3 rows of name-a"


@pytest.mark.parametrize(
    ("word", "value"), [("NaN", math.nan), ("Infinity", math.inf), ("-Infinity", -math.inf)]
)
def test_a_last_value_that_is_not_finite_is_told(tmp_path: Path, word: str, value: float) -> None:
    world = World(tmp_path)
    world.put({"loss": 1.0}, {"loss": word})
    readings = world.read()
    assert readings.value is None
    assert readings.problem == f"loss is {value} at its last value"


def test_rows_of_any_text_never_raise(tmp_path: Path) -> None:
    world = World(tmp_path)
    texts: list[dict[str, Any] | str] = [
        "",
        "[1]",
        "{",
        "[" * 60_000,
        '"x"',
        '{"big": "' + "x" * 99_999 + '"}',
    ]
    world.put(*texts, {"loss": 1.0})
    assert world.read().value == 1.0


def test_several_inits_in_its_own_folder_are_one_run(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put({"loss": 1.0}, run="a")
    world.put({"loss": 2.0}, run="b")
    readings = world.read()
    assert readings.value == 2.0
    assert readings.detail == "project.db: 2 rows of name-a, name-b"


def test_in_a_shared_folder_only_what_was_written_since_counts(tmp_path: Path) -> None:
    world = World(tmp_path, TRACKIO_DIR=str(tmp_path / "all"))
    path = world.put({"loss": 9.0}, run="old", at=NOW - 60)
    world.launch(f"{path.parent}/*.db")
    assert "has written no .db file" in str(world.read().problem)
    world.put({"loss": 1.0}, run="new")
    readings = world.read()
    assert (readings.value, readings.detail) == (1.0, "project.db: 1 rows of name-new")


def test_two_runs_in_a_shared_folder_are_an_error_not_a_guess(tmp_path: Path) -> None:
    world = World(tmp_path, TRACKIO_DIR=str(tmp_path / "all"))
    world.put({"loss": 9.0}, run="other")
    world.put({"loss": 1.0}, run="mine")
    readings = world.read()
    assert readings.metrics == {}
    assert "several runs wrote" in str(readings.problem)
    assert "name-other, name-mine" in str(readings.problem)


def test_rows_that_lie_in_the_log_beside_the_file_alone_are_read_on(tmp_path: Path) -> None:
    """A writer that goes on, or was killed: the file itself has not changed since the launch."""
    world = World(tmp_path, TRACKIO_DIR=str(tmp_path / "all"))
    path = world.put({"loss": 9.0}, run="old", at=NOW - 60)
    world.launch(str(path.parent))
    before = path.stat()
    with closing(sqlite3.connect(path)) as connection:
        follower = TrackioBackend().follower(world.evidence(), LOSS)
        for step in range(3):
            connection.execute(
                "INSERT INTO metrics(run_id, run_name, step, timestamp, metrics) VALUES ('n', 'n', ?, ?, ?)",
                (step, datetime.fromtimestamp(NOW + step, UTC).isoformat(), json.dumps({"loss": step / 2})),
            )
            connection.commit()
            follower.feed()
            assert (follower.latest, follower.step) == (step / 2, step)
            assert world.read().value == step / 2
        assert len(follower.series.readings("trackio").curve) == 3
        assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_named_path_is_read(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.folder = tmp_path / "elsewhere"
    world.put({"loss": 1.0})
    for path in ("elsewhere", "elsewhere/*.db", str(tmp_path / "elsewhere" / "project.db")):
        assert world.read(Query(Primary("loss"), path=path)).value == 1.0
    assert "nowhere" in str(world.read(Query(Primary("loss"), path="nowhere/*.db")).problem)


def test_each_attempt_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {environment(tmp_path, f"r0001-a{n}")["TRACKIO_DIR"] for n in (1, 2)}
    assert len(folders) == 2
    assert all(Path(folder).is_relative_to(tmp_path) for folder in folders)


def test_what_is_no_file_of_trackios_is_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert "has written no .db file" in str(world.read().problem)
    world.folder.mkdir(parents=True)
    (world.folder / "registry-x.db").write_bytes(b"")
    assert "has written no .db file" in str(world.read().problem)
    (world.folder / "x.db").write_bytes(b"no database" * 100)
    assert "x.db: file is not a database" in str(world.read().problem)
    (world.folder / "x.db").unlink()
    with closing(sqlite3.connect(world.folder / "x.db")) as connection:
        connection.execute("CREATE TABLE metrics(run_name)")
    assert "no table of trackio's metrics" in str(world.read().problem)
