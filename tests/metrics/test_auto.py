"""The auto backend: the first source that holds the primary metric."""

import shlex
from pathlib import Path

import pytest

from ardaemon.core import folders
from ardaemon.core.folders import Unsearched
from ardaemon.core.metric_names import METRIC_SOURCES
from ardaemon.core.model import Primary
from ardaemon.metrics.base import AttemptOutput, FileBackend, Query, Readings
from ardaemon.metrics.registry import BACKENDS, FILES


def ask(folder: Path, log: str, command: str | None) -> Readings:
    return ask_for(folder, log, Query(Primary("loss"), command=command))


def ask_for(folder: Path, log: str, query: Query) -> Readings:
    (folder / "run.log").write_text(log)
    evidence = AttemptOutput(
        log=folder / "run.log",
        run_folder=folder,
        attempt_folder=folder,
        project=folder,
        environment={"PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    return BACKENDS["auto"].read(evidence, query)


def echo(text: str) -> str:
    return shlex.join(["echo", text])


def test_every_backend_is_found_by_its_own_name() -> None:
    assert all(name == backend.name for name, backend in BACKENDS.items())
    assert set(BACKENDS) == set(METRIC_SOURCES), "what --metrics takes and what there is"


@pytest.mark.parametrize(
    ("log", "command", "source", "value"),
    [
        ("loss: 1", None, "log", 1.0),
        ("loss: 1", echo('{"loss": 2}'), "custom", 2.0),
        ("loss: 1", echo('{"acc": 2}'), "log", 1.0),
        ("loss: 1", "false", "log", 1.0),
        ("acc: 1", echo('{"loss": 2}'), "custom", 2.0),
    ],
)
def test_the_first_source_with_the_primary_wins(
    tmp_path: Path, log: str, command: str | None, source: str, value: float
) -> None:
    readings = ask(tmp_path, log, command)
    assert (readings.source, readings.metrics["loss"].last) == (source, value)


def test_without_a_command_only_the_log_answers(tmp_path: Path) -> None:
    readings = ask(tmp_path, "losses: 1", None)
    assert (readings.problem, readings.nearest) == ("loss was never printed", ("losses",))


def test_where_none_has_it_each_source_tells_its_problem(tmp_path: Path) -> None:
    readings = ask(tmp_path, "losses: 1", "sh -c 'echo broken >&2; exit 2'")
    assert readings.problem is not None
    assert readings.problem.startswith("custom: metric command ")
    assert readings.problem.endswith("exited 2: broken; log: loss was never printed")
    assert readings.nearest == ("losses",)
    assert readings.metrics["losses"].last == 1.0


def files(folder: Path) -> None:
    """The same metric in two kinds of files, with values that tell which."""
    (folder / "metrics.csv").write_text("step,loss\n1,3\n")
    (folder / "metrics.jsonl").write_text('{"loss": 4, "only": 5}\n')


@pytest.mark.parametrize(
    ("log", "query", "source", "value"),
    [
        ("loss: 1", Query(Primary("loss")), "log", 1.0),
        ("acc: 1", Query(Primary("loss")), "csv", 3.0),
        ("acc: 1", Query(Primary("only")), "jsonl", 5.0),
        ("loss: 1", Query(Primary("loss"), path="*.jsonl"), "jsonl", 4.0),
        ("loss: 1", Query(Primary("loss"), path="metrics.*"), "csv", 3.0),
        ("loss: 1", Query(Primary("loss"), path="nothing*"), "log", 1.0),
        ("loss: 1", Query(Primary("loss"), path="run.log"), "log", 1.0),
        ("loss is 1", Query(Primary("loss"), regex=r"loss is (\S+)", path="*.csv"), "log", 1.0),
        ("loss: 1", Query(Primary("loss"), command=echo('{"loss": 2}'), path="*.csv"), "custom", 2.0),
        ("loss: 1", Query(Primary("loss"), count=1), "csv", 3.0),
    ],
)
def test_what_the_session_was_told_comes_before_the_log_and_that_before_what_is_found(
    tmp_path: Path, log: str, query: Query, source: str, value: float
) -> None:
    files(tmp_path)
    readings = ask_for(tmp_path, log, query)
    assert (readings.source, readings.value) == (source, value)


def test_it_says_why_the_sources_before_do_not_count(tmp_path: Path) -> None:
    files(tmp_path)
    readings = ask_for(tmp_path, "acc: 1", Query(Primary("only")))
    assert readings.passed == ("log: only was never printed", "csv: only was never reported")
    assert ask_for(tmp_path, "acc: 1", Query(Primary("only"), path="x*")).passed[0] == (
        "--metric-path: no file matches x*"
    )
    unknown = ask_for(tmp_path, "acc: 1", Query(Primary("only"), path="run.log")).passed[0]
    assert unknown == "--metric-path: run.log is of no known kind: say which with --metrics"


def test_a_metric_that_ended_as_nan_is_looked_for_nowhere_else(tmp_path: Path) -> None:
    files(tmp_path)
    readings = ask_for(tmp_path, "loss: nan", Query(Primary("loss")))
    assert (readings.source, readings.value) == ("log", None)
    said = Query(Primary("loss"), command=echo('{"loss": NaN}'))
    assert ask_for(tmp_path, "loss: 1", said).source == "custom"


def test_where_there_is_too_much_to_look_through_it_says_so_and_asks_the_next_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path)
    monkeypatch.setattr(folders, "NAMES_MAX", 1)
    why = "*: more than 1 files and folders are there: name a smaller folder"
    readings = ask_for(tmp_path, "loss: 1", Query(Primary("loss"), path="*"))
    assert (readings.value, readings.passed) == (1.0, (f"--metric-path: {why}",))
    readings = ask_for(tmp_path, "acc: 1", Query(Primary("loss")))
    assert readings.value is None
    assert "csv: {run_dir}/**/metrics.csv: more than 1 files and folders are there" in str(readings.problem)


@pytest.mark.parametrize("backend", FILES, ids=lambda backend: backend.name)
def test_each_backend_says_that_there_is_too_much_to_look_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: FileBackend
) -> None:
    """Never does it answer from a part of the files."""
    files(tmp_path)
    monkeypatch.setattr(folders, "NAMES_MAX", 1)
    evidence = AttemptOutput(
        log=tmp_path / "run.log", run_folder=tmp_path, attempt_folder=tmp_path, project=tmp_path
    )
    query = Query(Primary("loss"), path="*")
    try:
        said = str(backend.read(evidence, query).problem)
    except Unsearched as error:
        said = str(error)
    assert "more than 1 files and folders are there" in said
    follower = backend.follower(evidence, query)
    with pytest.raises(Unsearched):
        follower.feed()
