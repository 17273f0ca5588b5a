"""Extract: the value that counts, where it is from, its history, and whose files are asked."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ardaemon.checkpoints import find as checkpoint
from ardaemon.core import folders
from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Exit, Settings
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment import seal
from ardaemon.experiment.state import load
from ardaemon.host import durable, state
from ardaemon.metrics.base import WORTH_A_BOOKMARK
from ardaemon.metrics.formats.growing import Growing
from ardaemon.pipeline import extract
from tests.support.folders import experiment, record

OVER = Exit(ending="exited", exit_code=0, seconds=1.0, started_at="2026-11-22T10:00:00Z")
YEARS_BEFORE = 1_000_000_000.0


class Made:
    """One attempt of a run: launched with these settings, then it writes, then it is read."""

    def __init__(self, project: Path, attempt: int = 1, **settings: Any) -> None:
        self.experiment: Experiment = experiment(project)
        self.run: Run = self.experiment.run("r0001")
        self.attempt = self.run.attempt(attempt)
        self.attempt.folder.mkdir(parents=True)
        self.settings = Settings(seconds=10, **settings)
        self.number = attempt

    def launch(self) -> "Made":
        checkpoint.note(self.experiment, self.run, self.attempt, self.settings)
        return self

    def write(self, name: str, text: str) -> None:
        path = self.experiment.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (YEARS_BEFORE, YEARS_BEFORE))

    def read(self, log: str = "", restarted: bool = False, end: Exit = OVER) -> extract.Extracted:
        self.attempt.log.write_text(log)
        given = record(settings=self.settings)
        found = load(self.experiment).contract
        return extract.extract(
            self.experiment, self.run, given, found, {}, self.number, end, restarted=restarted
        )

    def curve(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.attempt.curve.read_text().splitlines()]


def test_the_value_that_counts_is_the_primary_metrics_and_is_named(tmp_path: Path) -> None:
    made = Made(tmp_path, value="best").launch()
    found = made.read("step 1 val/loss: 2 acc: 1\nstep 2 val/loss: 1\nstep 3 val/loss: 3 acc: 4\n")
    assert found.metrics == {"val/loss": 1.0, "acc": 4.0}
    assert (found.source, found.counted, found.problem) == ("log", "best@2", None)
    assert made.curve() == [
        {"step": 1, "value": 2.0, "wall": None},
        {"step": 2, "value": 1.0, "wall": None},
        {"step": 3, "value": 3.0, "wall": None},
    ]


@pytest.mark.parametrize("stamp", ["", "yesterday", "2026-11-22T10:00:00Z" * 9, "9999-12-31T23:59:59-23:59"])
def test_a_forged_time_of_the_start_keeps_no_run_from_being_judged(tmp_path: Path, stamp: str) -> None:
    made = Made(tmp_path).launch()
    assert made.read("val/loss: 2\n", end=replace(OVER, started_at=stamp)).metrics == {"val/loss": 2.0}


def test_a_step_that_no_value_reaches_back_to_is_a_metric_that_is_missing(tmp_path: Path) -> None:
    found = Made(tmp_path, metrics="log", value=5).launch().read("step 7 val/loss: 2\n")
    assert found.metrics == {}
    assert found.problem == "val/loss has no value at a step up to 5"


def test_a_file_at_the_sessions_path_is_read_and_named(tmp_path: Path) -> None:
    made = Made(tmp_path, metric_path="out/*.csv").launch()
    made.write("out/m.csv", "step,val/loss\n5,0.5\n")
    found = made.read("val/loss: 1\n")
    assert (found.metrics["val/loss"], found.source, found.counted) == (0.5, "csv out/m.csv", "last@5")


def test_a_source_that_is_taken_after_others_says_why(tmp_path: Path) -> None:
    made = Made(tmp_path).launch()
    made.write(f"{made.run.job}/metrics.csv", "val/loss\n1,2,3\n\n0.5\n")
    assert made.read("nothing\n").source == (
        "csv metrics.csv (1 lines of metrics.csv cannot be read as rows; log: val/loss was never printed)"
    )


def test_an_output_folder_that_every_run_uses_gives_each_run_its_own(tmp_path: Path) -> None:
    """The earlier run's file is newer than this run, as after a clock was set back."""
    made = Made(tmp_path, metrics="csv", metric_path="out/**/*.csv")
    made.write("out/v1/m.csv", "val/loss\n0.1\n")
    os.utime(tmp_path / "out/v1/m.csv", (4e9, 4e9))
    made.launch()
    assert made.read().problem == "1 files match out/**/*.csv, none of them written by this run"
    made.write("out/v2/m.csv", "val/loss\n0.5\n")
    assert made.read().metrics == {"val/loss": 0.5}


def test_without_the_launchs_note_the_time_decides(tmp_path: Path) -> None:
    """As for a run that an earlier version launched."""
    made = Made(tmp_path, metrics="csv", metric_path="out/*.csv")
    made.write("out/m.csv", "val/loss\n0.1\n")
    assert made.read().metrics == {}
    os.utime(tmp_path / "out/m.csv")
    assert made.read().metrics == {"val/loss": 0.1}


def test_the_note_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    made = Made(tmp_path, checkpoint_glob="out/*.pt").launch()
    noted = json.loads(made.attempt.before.read_text())
    made.attempt.before.write_text(json.dumps({"schema": 1, "marks": noted["marks"]}))
    assert made.read("val/loss: 1").metrics == {"val/loss": 1.0}
    made.attempt.before.write_text("{")
    assert made.read("val/loss: 1").metrics == {"val/loss": 1.0}


def test_a_second_attempt_is_not_judged_by_the_firsts_files(tmp_path: Path) -> None:
    made = Made(tmp_path, attempt=2)
    made.write(f"{made.run.job}/metrics.csv", "val/loss\n0.1\n")
    assert made.launch().read("none").metrics == {}


def test_the_first_launch_without_paths_writes_no_note(tmp_path: Path) -> None:
    assert not Made(tmp_path).launch().attempt.before.exists()


def test_after_a_restart_of_the_host_only_the_log_is_read(tmp_path: Path) -> None:
    made = Made(tmp_path).launch()
    made.write(f"{made.run.job}/metrics.csv", "val/loss\n0.5\n")
    lost = made.read("nothing", restarted=True)
    assert (lost.metrics, lost.silent) == ({}, True)
    kept = made.read("val/loss: 1", restarted=True)
    assert (kept.metrics, kept.silent) == ({"val/loss": 1.0}, False)


@pytest.mark.parametrize(
    ("settings", "alone"),
    [
        ({}, True),
        ({"metrics": "log"}, True),
        ({"metrics": "csv"}, False),
        ({"metric_path": "x"}, False),
        ({"metric_command": "x"}, False),
    ],
)
def test_which_sessions_read_the_log_alone_is_known(settings: dict[str, Any], alone: bool) -> None:
    assert extract.of_log(Settings(seconds=1, **settings)) is alone


def test_a_curve_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    made = Made(tmp_path).launch()
    made.attempt.curve.mkdir()
    assert made.read("val/loss: 1").metrics == {"val/loss": 1.0}


def test_a_curve_is_written_through_no_link(tmp_path: Path) -> None:
    made = Made(tmp_path).launch()
    (tmp_path / "theirs").write_text("kept")
    made.attempt.curve.symlink_to(tmp_path / "theirs")
    made.read("val/loss: 1")
    assert (tmp_path / "theirs").read_text() == "kept"


def test_where_a_value_is_from_and_which_counts_makes_runs_comparable_or_not(tmp_path: Path) -> None:
    found = load(experiment(tmp_path)).contract
    plain = Settings(seconds=1)
    others = [replace(plain, value="best"), replace(plain, value=5), replace(plain, metric_path="x")]
    told = {seal.conditions(settings, found) for settings in (plain, *others)}
    assert len(told) == 4


def test_the_settings_of_a_run_say_which_value_counts(tmp_path: Path) -> None:
    settings = Settings(seconds=1, value=7, metric_path="{run_dir}/*.csv")
    path = tmp_path / "x.json"
    given = record(settings=settings)
    state.write(path, given)
    read = state.read(path, RunRecord)
    assert read is not None
    assert read.settings == settings
    assert json.loads(path.read_text())["settings"]["value"] == 7


def test_what_the_launch_could_not_look_through_is_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether a file that is there now was there before."""
    made = Made(tmp_path, metrics="csv", metric_path="out/*.csv")
    for name in "ab":
        made.write(f"out/{name}.csv", "val/loss\n0.1\n")
    with monkeypatch.context() as patch:
        patch.setattr(folders, "NAMES_MAX", 2)
        made.launch()
    (tmp_path / "out/b.csv").unlink()
    os.utime(tmp_path / "out/a.csv")
    found = made.read()
    assert found.metrics == {}
    assert found.problem == (
        "metrics could not be read: out/*.csv: at the launch, more than 2 files and folders are there:"
        " name a smaller folder"
    )


def test_where_there_is_too_much_to_look_through_no_metric_counts_and_the_result_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(tmp_path, metrics="csv").launch()
    for name in "ab":
        made.write(f"{made.run.job}/{name}/metrics.csv", "val/loss\n0.1\n")
    monkeypatch.setattr(folders, "NAMES_MAX", 5)
    found = made.read()
    assert (found.metrics, found.problem) == (
        {},
        "metrics could not be read: {run_dir}/**/metrics.csv: more than 5 files and folders are there:"
        " name a smaller folder",
    )


def test_a_reading_that_was_ended_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(tmp_path, metrics="csv").launch()
    remark = f"#{'x' * 1022}\n"
    made.write(f"{made.run.job}/metrics.csv", "val/loss\n2\n" + remark * (WORTH_A_BOOKMARK // 1024) + "1\n")
    begun_at: list[int] = []

    def killed(path: Path, data: bytes) -> None:
        Path(path).write_bytes(data)
        raise KeyboardInterrupt

    def noted(growing: Growing) -> Iterator[tuple[int, bytes]]:
        begun_at.append(growing.at)
        yield from lines(growing)

    lines = Growing.lines
    monkeypatch.setattr(Growing, "lines", noted)
    with monkeypatch.context() as patch:
        patch.setattr(durable, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            made.read()
    assert made.read().metrics == {"val/loss": 1.0}
    assert begun_at[0] == 0
    assert begun_at[1] > WORTH_A_BOOKMARK - 1024
