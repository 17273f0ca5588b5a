"""The csv and jsonl backends: what a row is, however the file was written, and files that grow."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.core.model import Count, Primary
from ardaemon.metrics.base import AttemptOutput, Follower, Point, Query, Readings
from ardaemon.metrics.csv_rows import CSV, CsvParser
from ardaemon.metrics.formats.growing import LINE_MAX, Growing
from ardaemon.metrics.json_lines import JSONL, JsonParser
from ardaemon.metrics.rows import RowsBackend
from tests.support import attempt
from tests.support.every import every

LOSS = Query(Primary("val_loss"))

# Lightning's CSVLogger: each row has the columns that were logged together.
LIGHTNING = "epoch,step,train_loss,val_loss\n0,49,0.9,\n0,49,,0.8\n1,99,0.5,\n1,99,,0.6\n"


def at(follower: Follower) -> tuple[float | None, int | None]:
    return follower.latest, follower.step


def evidence(folder: Path) -> AttemptOutput:
    return attempt.evidence(folder, folder)


def read(folder: Path, text: str, backend: RowsBackend = CSV, query: Query = LOSS) -> Readings:
    name = {"csv": "metrics.csv", "jsonl": "metrics.jsonl"}[backend.name]
    with (folder / name).open("w", newline="") as file:
        file.write(text)
    return backend.read(evidence(folder), query)


def last(readings: Readings) -> dict[str, float]:
    return {name: metric.last for name, metric in readings.metrics.items()}


def test_sparse_cells_are_read_as_lightning_writes_them(tmp_path: Path) -> None:
    readings = read(tmp_path, LIGHTNING)
    assert last(readings) == {"epoch": 1.0, "step": 99.0, "train_loss": 0.5, "val_loss": 0.6}
    assert (readings.value, readings.counted, readings.detail) == (0.6, "last@99", "metrics.csv")
    assert readings.curve == (Point(49, 0.8), Point(99, 0.6))


@pytest.mark.parametrize(("count", "value"), [("last", 0.6), ("best", 0.6), (98, 0.8)])
def test_which_value_counts_is_asked(tmp_path: Path, count: Count, value: float) -> None:
    assert read(tmp_path, LIGHTNING, query=Query(Primary("val_loss"), count=count)).value == value


@every(
    "text",
    [
        "val_loss\n0.5",
        "step,val_loss\r\n1,0.9\r\n2,0.5\r\n",
        "step;val_loss\n2;0.5\n",
        "step\tval_loss\n2\t0.5\n",
        '"step","val_loss"\n"2","0.5"\n',
        "\ufeffstep, val_loss\n 2, 0.5\n\n",
        'step,text,val_loss\n1,"a, b",0.5\n',
        "a,b\n1,2\nstep,val_loss\n3,0.5\n",
        "a\n1\nstep,val_loss\n3,0.5\n",
        "val_loss,a\n0.5,\n,1\n",
    ],
)
def test_a_table_is_read_however_it_is_written(tmp_path: Path, text: str) -> None:
    readings = read(tmp_path, text)
    assert (readings.value, readings.problem) == (0.5, None)


@pytest.mark.parametrize(
    ("text", "value", "problem"),
    [
        ("val_loss,a\n0.5,1\n0.4\n0.3,2\n", 0.3, "1 lines of metrics.csv cannot be read as rows"),
        ("1,2\n3,4\n", None, "val_loss was never reported; 2 lines of metrics.csv cannot be read as rows"),
        ("step,val_loss\n1,nan\n", None, "val_loss is nan at its last value"),
        ("", None, "val_loss was never reported"),
        ("\x00" * 100, None, "val_loss was never reported"),
    ],
)
def test_what_is_torn_is_told(tmp_path: Path, text: str, value: float | None, problem: str) -> None:
    readings = read(tmp_path, text)
    assert (readings.value, readings.problem) == (value, problem)


@given(st.lists(st.lists(st.none() | st.floats(allow_nan=False), min_size=3, max_size=3), max_size=30))
def test_what_pythons_own_writer_writes_comes_back(rows: list[list[float | None]]) -> None:
    """The oracle: csv.DictReader on the same text."""
    lines = [["a", "b", "c"], *([("" if cell is None else repr(cell)) for cell in row] for row in rows)]
    parser, text = CsvParser(), [",".join(line) for line in lines]
    found = [row.values for line in text for row in parser.rows(line)]
    wanted = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(text)]
    assert found == [row for row in wanted if row]


@pytest.mark.parametrize(
    ("line", "values", "step", "wall"),
    [
        ('{"val_loss": 0.5, "step": 3}', {"val_loss": 0.5, "step": 3.0}, 3, None),
        ('{"val": {"loss": 1, "deep": {"x": 2}}}', {"val/loss": 1.0, "val/deep/x": 2.0}, None, None),
        ('{"a": true, "b": null, "c": "91.2%", "d": [1], "e": 2}', {"c": 91.2, "e": 2.0}, None, None),
        ('{"a": 1, "_timestamp": 1700000000.5, "Global_Step": 7}',
         {"a": 1.0, "_timestamp": 1700000000.5, "Global_Step": 7.0}, 7, 1700000000.5),
        ('{"a": 1' + "0" * 400 + "}", {"a": math.inf}, None, None),
    ],
)  # fmt: skip
def test_an_object_reports_its_numbers(
    line: str, values: dict[str, float], step: int | None, wall: float | None
) -> None:
    [row] = JsonParser().rows(line)
    assert (row.values, row.step, row.wall) == (values, step, wall)


@pytest.mark.parametrize("line", ["[1]", "1", "{", "no", '{"a": 1', '{"a":' * 100_000])
def test_what_is_no_object_is_counted(line: str) -> None:
    parser = JsonParser("a")
    assert [row.values for row in [*parser.rows(line), *parser.end()]] == [{}]
    assert parser.bad == 1


def test_objects_that_hold_themselves_deep_are_read_to_a_depth() -> None:
    [row] = JsonParser().rows('{"a":' * 50 + "1" + "}" * 50)
    assert row.values == {}


def test_a_nan_in_json_is_a_value_that_is_not_finite(tmp_path: Path) -> None:
    readings = read(tmp_path, '{"val_loss": 1}\n{"val_loss": NaN}\n', JSONL)
    assert (readings.value, readings.settled) == (None, True)


def test_of_several_files_the_one_written_last_has_the_last_value(tmp_path: Path) -> None:
    import os

    for number, (when, value) in enumerate([(30, 3), (10, 1), (20, 2)]):
        path = tmp_path / f"v{number}" / "metrics.jsonl"
        path.parent.mkdir()
        path.write_text(json.dumps({"val_loss": value}))
        os.utime(path, (when, when))
    readings = JSONL.read(evidence(tmp_path), LOSS)
    assert (readings.value, readings.detail) == (3.0, "v0/metrics.jsonl and 2 more")


def test_rows_of_an_earlier_run_in_the_same_file_do_not_count(tmp_path: Path) -> None:
    """Its header does: the rows that follow are still under it."""
    from ardaemon.metrics import own

    path = tmp_path / "m.csv"
    path.write_text("step,val_loss\n1,0.1\n2,0.2\n")
    run = tmp_path / "runs" / "r0002"
    run.mkdir(parents=True)
    marks = own.marks(["m.csv"], tmp_path, run)
    with path.open("a") as file:
        file.write("1,0.7\n2,0.9\n")
    here = AttemptOutput(
        log=run / "run.log",
        run_folder=run,
        attempt_folder=run,
        project=tmp_path,
        before=marks,
        noted=("m.csv",),
    )
    readings = CSV.read(here, Query(Primary("val_loss"), path="m.csv", count="best"))
    assert (readings.value, readings.curve) == (0.7, (Point(1, 0.7), Point(2, 0.9)))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Growing, "lines", _refused)
    readings = read(tmp_path, LIGHTNING)
    assert readings.problem == "val_loss was never reported; metrics.csv cannot be read: Input/output error"


def _refused(_: Growing) -> None:
    raise OSError(5, "Input/output error")


def grown(path: Path) -> tuple[Growing, Callable[[str], list[str]]]:
    file = Growing(path)
    path.touch()

    def add(text: str) -> list[str]:
        with path.open("a") as out:
            out.write(text)
        return [line.decode() for _, line in file.lines()]

    return file, add


def test_a_line_is_given_once_it_is_finished(tmp_path: Path) -> None:
    file, add = grown(tmp_path / "f")
    assert add("a\nb") == ["a"]
    assert add("c") == []
    assert file.rest() == (2, b"bc")
    assert add("\nd\n") == ["bc", "d"]
    assert (file.rest(), file.at) == (None, 7)


def test_a_line_that_is_too_long_is_passed_over_whole(tmp_path: Path) -> None:
    file, add = grown(tmp_path / "f")
    assert add("x" * (LINE_MAX + 5)) == []
    assert (add("loss\nb\n"), file.at) == (["b"], LINE_MAX + 12)


@pytest.mark.parametrize("text", ["new\n", "a much longer text than before\n"])
def test_a_file_that_is_replaced_or_cut_is_read_from_its_beginning(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f"
    _, add = grown(path)
    assert add("first\nsecond\n") == ["first", "second"]
    (tmp_path / "g").write_text(text)
    (tmp_path / "g").rename(path)
    assert add("") == [text.strip()]
    path.write_text("n\n")
    assert add("") == ["n"]


def test_a_follower_takes_what_is_added_and_files_that_come(tmp_path: Path) -> None:
    follower = CSV.follower(evidence(tmp_path), LOSS)
    follower.feed()
    assert at(follower) == (None, None)
    path = tmp_path / "lightning_logs" / "version_0" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("step,val_loss\n1,0.9\n2,0.")
    follower.feed()
    assert at(follower) == (0.9, 1)
    with path.open("a") as file:
        file.write("5\n3,\n")
    follower.feed()
    assert at(follower) == (0.5, 2)
    path.unlink()
    follower.feed()
    assert follower.latest == 0.5


@pytest.mark.parametrize("backend", [CSV, JSONL])
def test_where_there_is_no_file_that_is_said(tmp_path: Path, backend: RowsBackend) -> None:
    problem = backend.read(evidence(tmp_path), LOSS).problem
    assert problem == f"no file matches {{run_dir}}/**/metrics.{backend.name}"
