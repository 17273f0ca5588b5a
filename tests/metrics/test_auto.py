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
from tests.support.every import every

LOSS = Query(Primary("loss"))


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


def test_a_run_without_any_value_is_told_where_its_files_were_looked_for(tmp_path: Path) -> None:
    """A script that writes its csv into the project is not read: its user has to learn where it would be."""
    (tmp_path / "metrics.csv").write_text("step,loss\n1,3\n")
    job = tmp_path / "runs/r0001/job"
    job.mkdir(parents=True)
    told = "and runs/r0001/job has no metrics file; name one with --metric-path"
    assert ask(job, "", None).problem == f"the log is empty, {told}"
    assert ask(job, "done\n", None).problem == f"loss was never printed, {told}"
    assert ask(job, "loss: 0,53\n", None).problem == (
        "the last value of loss cannot be read: '0,53': a decimal comma"
    ), "it is in the log, so no file is missed"
    regex = ask_for(job, "done\n", Query(Primary("loss"), regex="(x)")).problem
    assert regex == "--metric-regex '(x)' found no loss in the log"


def test_where_none_has_it_each_source_tells_its_problem(tmp_path: Path) -> None:
    readings = ask(tmp_path, "losses: 1", "sh -c 'echo broken >&2; exit 2'")
    assert readings.problem is not None
    assert readings.problem.startswith("custom: metric command ")
    assert readings.problem.endswith("exited 2: broken; log: loss was never printed")
    assert readings.nearest == ("losses",)
    assert readings.metrics["losses"].last == 1.0


def files(folder: Path) -> None:
    """The same metric in three kinds of files, with values that tell which."""
    (folder / "metrics.csv").write_text("step,loss\n1,3\n")
    (folder / "metrics.jsonl").write_text('{"loss": 4, "only": 5}\n')
    (folder / "own.txt").write_text("epoch 1 loss: 6\n")


@every(
    "log, query, source, value",
    [
        ("loss: 1", Query(Primary("loss")), "log", 1.0),
        ("acc: 1", Query(Primary("loss")), "csv", 3.0),
        ("acc: 1", Query(Primary("only")), "jsonl", 5.0),
        ("loss: 1", Query(Primary("loss"), path="*.jsonl"), "jsonl", 4.0),
        ("loss: 1", Query(Primary("loss"), path="metrics.*"), "csv", 3.0),
        ("loss: 1", Query(Primary("loss"), path="nothing*"), "log", 1.0),
        ("loss: 1", Query(Primary("loss"), path="run.log"), "log", 1.0),
        ("loss: 1", Query(Primary("loss"), path="own.t?t"), "log", 6.0),
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
    (tmp_path / "own.dat").write_text("loss: 6\n")
    unknown = ask_for(tmp_path, "acc: 1", Query(Primary("only"), path="own.dat")).passed[0]
    assert unknown == "--metric-path: own.dat is of no known kind: say which, as --metrics log for text"


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


def with_csv(folder: Path, log: str, rows: str, query: Query = LOSS) -> Readings:
    (folder / "metrics.csv").write_text(f"step,loss\n{rows}")
    return ask_for(folder, log, query)


@pytest.mark.parametrize(
    ("log", "exact"),
    [
        ("loss=2.310", 2.3104912),
        ("loss: 2.31", 2.3104912),
        ("loss: 2", 2.3104912),
        ("loss: 2.3e+00", 2.3104912),
        ("{'loss': 2.3105}", 2.3104912),
        ("loss: 1,234.57", 1234.5678),
        ("loss: 0.00", 0.0012),
        ("loss: -0.5", -0.4999),
        ("loss: 0.1", 0.10000000149011612),
    ],
)
def test_a_file_that_agrees_with_what_was_printed_has_the_exact_value(
    tmp_path: Path, log: str, exact: float
) -> None:
    readings = with_csv(tmp_path, f"{log} vram=3\n", f"10,2.5\n20,{exact}\n")
    assert (readings.source, readings.value, readings.counted) == ("csv", exact, "last@20")
    assert readings.metrics["vram"].last == 3.0
    assert readings.metrics["loss"].last == exact


@pytest.mark.parametrize(
    ("log", "other"),
    [("loss: 2.310", 2.3111), ("loss: 0.9", 0.5), ("loss: 93.1%", 0.931), ("loss: 1", 1e300)],
)
def test_where_a_file_has_another_value_the_log_counts(tmp_path: Path, log: str, other: float) -> None:
    readings = with_csv(tmp_path, log, f"10,{other}\n")
    assert readings.source == "log"
    assert ask_for(tmp_path, log, Query(LOSS.primary, regex=r"(\d\.?\d*)")).source == "log"


def test_the_best_of_a_file_that_agrees_with_the_best_that_was_printed_counts(tmp_path: Path) -> None:
    readings = with_csv(
        tmp_path, "loss: 0.51\nloss: 0.9\n", "1,0.5094\n2,0.9\n", Query(LOSS.primary, count="best")
    )
    assert (readings.source, readings.value) == ("csv", 0.5094)


def test_what_the_log_shows_and_nobody_can_read_may_stand_in_a_file_but_no_older_value(
    tmp_path: Path,
) -> None:
    log = "loss: 0.9\nloss: 0.5ms\n"
    assert with_csv(tmp_path, log, "1,0.9\n2,0.5\n").value == 0.5
    stale = with_csv(tmp_path, log, "1,0.9\n")
    assert (stale.value, stale.settled, "loss" in stale.metrics) == (None, False, False)
    assert "log: the last value of loss cannot be read: '0.5ms': a unit" in (stale.problem or "")
    assert "csv: its last loss is 0.9" in (stale.problem or "")
