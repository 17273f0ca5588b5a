"""Checkpoints: which one is found."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from ardaemon.checkpoints import find as checkpoint
from ardaemon.core import file_kinds, folders
from ardaemon.core.folders import Look, Unsearched
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Settings
from ardaemon.host import state
from ardaemon.pipeline.ended import Ended
from tests.pipeline.test_apply import committed, live
from tests.support.checkpoints import cut, over, saved, torch_file
from tests.support.folders import experiment

trust = pytest.mark.promise("trust")

SHARED = Settings(seconds=1, checkpoint_glob="out/checkpoint-*")
CAPTURED = Settings(seconds=1)


@pytest.fixture
def made(tmp_path: Path) -> Experiment:
    """An experiment with a live session."""
    found = experiment(tmp_path)
    live(found)
    return found


def found(made: Experiment, run: Ended) -> Path | None:
    return checkpoint.find(made, run.run, run.record.settings, 0).path


def test_a_link_to_nothing_that_the_glob_matches_is_passed_over(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    (run.run.job / "ckpt-latest").symlink_to("gone")
    assert found(made, run) is None
    folder = saved(run.run.job)
    assert found(made, run) == folder


def test_a_link_to_nothing_inside_a_checkpoint_is_no_hindrance(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    (saved(run.run.job) / "latest").symlink_to("gone")
    assert committed(run).checkpoint == ".ckpt/r0001"
    assert os.readlink(made.best_checkpoint / "ckpt-1/latest") == "gone"


def test_a_pipe_that_the_glob_matches_is_no_checkpoint(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    os.mkfifo(run.run.job / "ckpt-pipe")
    assert found(made, run) is None


def test_the_latest_by_its_number_is_taken_whatever_the_times_say(made: Experiment) -> None:
    run = over(made, 1, 1.0, SHARED)
    out = made.project / "out"
    saved(out, "checkpoint-1000")
    late = saved(out, "checkpoint-200")
    os.utime(late / "weights", (2e9, 2e9))
    assert found(made, run) == out / "checkpoint-1000"


def test_what_an_earlier_run_left_is_not_this_ones_though_its_number_is_higher(made: Experiment) -> None:
    out = made.project / "out"
    saved(out, "checkpoint-1000")
    run = over(made, 2, 1.0, SHARED)
    assert found(made, run) is None
    saved(out, "checkpoint-200")
    assert found(made, run) == out / "checkpoint-200"


def test_a_save_that_was_cut_short_is_passed_over_and_the_result_says_so(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    for number in (1, 2):
        torch_file(run.run.job / f"ckpt-{number}.pt")
    cut(run.run.job / "ckpt-2.pt")
    result = committed(run)
    assert result.checkpoint == ".ckpt/r0001"
    assert result.reason == "checkpoint ckpt-1.pt promoted: ckpt-2.pt is not whole: it was cut off"
    assert sorted(os.listdir(made.best_checkpoint)) == ["ckpt-1.pt", "meta.json"]


def test_where_no_save_is_whole_the_best_has_none(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    cut(torch_file(run.run.job / "ckpt-1.pt"))
    result = committed(run)
    assert (result.verdict, result.checkpoint) == ("advance", None)
    assert result.reason == "checkpoint not promoted: ckpt-1.pt is not whole: it was cut off"


def test_a_glob_that_matches_everything_of_a_run_takes_nothing_of_the_daemons(made: Experiment) -> None:
    run = over(made, 1, 1.0, Settings(seconds=1, checkpoint_glob="{run_dir}/*"))
    run.run.attempt(1).log.write_text("val/loss: 1.0\nmore\n")
    state.write(run.run.record, run.record)
    assert found(made, run) is None
    (run.run.job / "weights.pt").write_bytes(b"weights")
    assert found(made, run) == run.run.job / "weights.pt"


# --- without a glob: what ar_capture saves ---


def test_a_file_of_each_rank_is_promoted_as_a_folder(made: Experiment) -> None:
    run = over(made, 1, 1.0, CAPTURED)
    folder = run.run.job / "state"
    folder.mkdir()
    for rank in (0, 1):
        torch_file(folder / f"rank{rank}-of-2.pt")
    assert committed(run).checkpoint == ".ckpt/r0001"
    assert sorted(os.listdir(made.best_checkpoint / "state")) == ["rank0-of-2.pt", "rank1-of-2.pt"]


def test_a_rank_without_its_part_makes_the_state_no_checkpoint(made: Experiment) -> None:
    run = over(made, 1, 1.0, CAPTURED)
    (run.run.job / "state").mkdir()
    torch_file(run.run.job / "state/rank0-of-2.pt")
    assert committed(run).reason == "checkpoint not promoted: state is not whole: 1 of 2 files rank*.pt"


def test_a_link_to_the_experiments_own_folder_of_that_name_is_no_state(made: Experiment) -> None:
    (made.folder / "state").mkdir()
    (made.folder / "state/data").write_bytes(b"the project's")
    run = over(made, 1, 1.0, CAPTURED)
    (run.run.job / "state").symlink_to(made.folder / "state")
    assert found(made, run) is None


def test_of_both_the_later_written_is_taken(made: Experiment) -> None:
    run = over(made, 1, 1.0, CAPTURED)
    torch_file(run.run.job / "state.pt")
    os.utime(run.run.job / "state.pt", (1e9, 1e9))
    (run.run.job / "state").mkdir()
    torch_file(run.run.job / "state/rank0-of-1.pt")
    assert found(made, run) == run.run.job / "state"


# --- too much to look through ---

TOO_MANY = "more than 3 files and folders are there: name a smaller folder"


@trust
def test_where_there_is_too_much_to_look_through_the_run_advances_without_and_says_so(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = over(made, 1, 1.0)
    for number in (1, 2):
        saved(run.run.job, f"ckpt-{number}")
    monkeypatch.setattr(folders, "NAMES_MAX", 3)
    result = committed(run)
    assert (result.verdict, result.checkpoint) == ("advance", None)
    assert result.reason == f"checkpoint not promoted: {{run_dir}}/ckpt-*: {TOO_MANY}"


def test_a_checkpoint_of_too_many_files_is_not_promoted_and_the_result_says_so(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = over(made, 1, 1.0, CAPTURED)
    (run.run.job / "state").mkdir()
    for rank in range(4):
        torch_file(run.run.job / f"state/rank{rank}-of-4.pt")
    monkeypatch.setattr(folders, "NAMES_MAX", 3)
    reason = committed(run).reason
    assert reason == f"checkpoint not promoted: {run.run.job}: {TOO_MANY}"


def test_each_file_of_a_checkpoint_counts_once(made: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    run = over(made, 1, 1.0, SHARED)
    folder = saved(made.project / "out", "checkpoint-1")
    for number in range(7):
        (folder / str(number)).touch()
    names = len([*folder.rglob("*")])
    monkeypatch.setattr(folders, "NAMES_MAX", names + 2)  # out/, and the checkpoint in it
    assert found(made, run) == folder


@trust
def test_what_the_launch_could_not_look_through_is_no_runs_checkpoint(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether it was there before."""
    saved(made.project / "out", "checkpoint-1")
    with monkeypatch.context() as patch:
        patch.setattr(folders, "NAMES_MAX", 2)
        run = over(made, 1, 1.0, SHARED)
    saved(made.project / "out", "checkpoint-2")
    result = committed(run)
    assert result.checkpoint is None
    assert "out/checkpoint-*: at the launch, more than 2 files and folders" in str(result.reason)


def test_links_in_a_circle_hide_no_checkpoint(made: Experiment) -> None:
    run = over(made, 1, 1.0, Settings(seconds=1, checkpoint_glob="{run_dir}/**/ckpt-*"))
    for name in "ab":
        (run.run.job / name).symlink_to(".")
    folder = saved(run.run.job / "deep/er")
    assert found(made, run) == folder


def test_what_takes_too_many_names_to_note_at_the_launch_is_no_runs_checkpoint(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(made.project / "out", "checkpoint-1")
    monkeypatch.setattr(file_kinds, "TREE", file_kinds.Kind(100))
    run = over(made, 1, 1.0, SHARED)
    monkeypatch.undo()
    result = committed(run)
    assert result.checkpoint is None
    assert "out/checkpoint-*: at the launch, the names of what is there take more than" in str(result.reason)


def test_a_note_of_thousands_of_files_is_read(made: Experiment) -> None:
    old = saved(made.project / "out", "checkpoint-1")
    run = over(made, 1, 1.0, SHARED)
    before = checkpoint.read_before(run.run.attempt(1))
    assert before is not None
    many = {f"/{number:0300}": "0" * 32 for number in range(15_000)}
    state.write(run.run.attempt(1).before, replace(before, marks={**many, **before.marks}))
    assert run.run.attempt(1).before.stat().st_size > file_kinds.STATE.most
    os.utime(old / "weights")
    assert found(made, run) == old
    old = saved(made.project / "out", "checkpoint-2")
    run = over(made, 2, 1.0, SHARED)
    state.write(
        run.run.attempt(1).before, replace(before, marks={**many, str(old): checkpoint.mark(old, Look(old))})
    )
    assert found(made, run) != old


def test_looking_at_the_files_counts_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes far longer than to list them."""
    monkeypatch.setattr(folders, "OFTEN", 4)
    folder = saved(tmp_path)
    (folder / "more").touch()
    with pytest.raises(Unsearched, match="took more than -1 s"):
        checkpoint.mark(folder, Look(folder, seconds=-1))
