"""Checkpoints: which one is found, how it is copied, and what happens where it cannot be."""

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ardaemon.core.errors import StorageError
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Best, Result, RunRecord, Settings
from ardaemon.host import operations, state
from ardaemon.pipeline import checkpoint, commit
from tests.pipeline.test_commit import committed, ended, everything, live, plain
from tests.support.folders import experiment

GLOB = Settings(seconds=1, checkpoint_glob="{run_dir}/ckpt-*")


@pytest.fixture
def made(tmp_path: Path) -> Experiment:
    """An experiment with a live session."""
    found = experiment(tmp_path)
    live(found)
    return found


def over(made: Experiment, number: int, value: float) -> commit.Ended:
    """A run with a folder for checkpoints that is over."""
    given = ended(made, number, value)
    record = replace(given.record, settings=GLOB)
    state.write(given.run.record, record)
    return replace(given, record=record)


def saved(ended: commit.Ended, name: str = "ckpt-1") -> Path:
    """A checkpoint that the run wrote."""
    folder = ended.run.folder / name
    (folder / "optimizer").mkdir(parents=True)
    (folder / "weights").write_bytes(b"weights")
    (folder / "optimizer/state").write_bytes(b"state")
    return folder


def best(made: Experiment) -> Best:
    found = state.read(made.best, Best)
    assert found is not None
    return found


# --- find ---


def test_a_link_to_nothing_that_the_glob_matches_is_passed_over(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    (run.run.folder / "ckpt-latest").symlink_to("gone")
    assert checkpoint.find(made, run.run, GLOB, 0) is None
    folder = saved(run)
    assert checkpoint.find(made, run.run, GLOB, 0) == folder


def test_a_link_to_nothing_inside_a_checkpoint_is_no_hindrance(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    (saved(run) / "latest").symlink_to("gone")
    assert committed(run).checkpoint == ".ckpt/r0001"
    assert os.readlink(made.best_checkpoint / "ckpt-1/latest") == "gone"


def test_a_pipe_that_the_glob_matches_is_no_checkpoint(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    os.mkfifo(run.run.folder / "ckpt-pipe")
    assert checkpoint.find(made, run.run, GLOB, 0) is None


# --- promote ---


def test_links_are_copied_as_links_and_special_files_are_left_out(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run)
    (folder / "self").symlink_to(".")
    os.mkfifo(folder / "pipe")
    monkeypatch.chdir(folder)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    assert committed(run).checkpoint == ".ckpt/r0001"
    copy = made.best_checkpoint / "ckpt-1"
    assert sorted(os.listdir(copy)) == ["optimizer", "self", "weights"]
    assert os.readlink(copy / "self") == "."
    assert (copy / "optimizer/state").read_bytes() == b"state"


def test_a_checkpoint_that_is_gone_before_its_copy_does_not_hold_up_the_commit(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run)
    record = commit.decide(run)
    (folder / "weights").unlink()
    folder.rename(run.run.folder / "elsewhere")
    first = commit.apply(made, run.run, record)
    assert (first.verdict, first.checkpoint) == ("advance", None)
    assert first.reason == "checkpoint not promoted: ckpt-1: No such file or directory"
    assert (best(made).run_id, best(made).checkpoint) == ("r0001", None)
    assert not os.path.lexists(made.best_checkpoint)
    assert list(made.checkpoints.iterdir()) == []


def test_a_copy_that_failed_stays_given_up_though_its_source_comes_back(made: Experiment) -> None:
    """As after a kill between the steps: the second apply must not tell another story than the first."""
    run = over(made, 1, 1.0)
    folder = saved(run)
    record = commit.decide(run)
    aside = folder.rename(run.run.folder / "elsewhere")
    first = commit.apply(made, run.run, record)
    once = everything(made.folder)
    aside.rename(folder)
    assert commit.apply(made, run.run, record) == first
    reread = state.read(run.run.record, RunRecord)
    assert reread is not None
    assert commit.apply(made, run.run, reread) == first
    folder.rename(aside)
    assert everything(made.folder) == once


def test_an_unreadable_file_in_a_checkpoint_is_named(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root reads everything, so the refusal itself is given."""
    run = over(made, 1, 1.0)
    saved(run)

    def refused(name: str, *_: object) -> None:
        if name == "copy":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(operations, "hook", refused)
    assert committed(run).reason == "checkpoint not promoted: ckpt-1: Permission denied"


def test_a_full_disk_holds_up_the_commit_until_there_is_space(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk passes: the checkpoint is not given up for it, and the torn copy takes no space."""
    run = over(made, 1, 1.0)
    saved(run)
    record = commit.decide(run)

    def full(name: str, *given: Any) -> None:
        if name == "fsync" and os.readlink(f"/proc/self/fd/{given[0]}").endswith("/weights"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(operations, "hook", full)
        with pytest.raises(StorageError, match="No space left"):
            checkpoint.promote(made, "r0001", run.run.folder / "ckpt-1", plain())
    assert list(made.checkpoints.iterdir()) == []
    assert commit.apply(made, run.run, record).checkpoint == ".ckpt/r0001"


def test_a_torn_copy_is_removed_and_made_anew(made: Experiment) -> None:
    run = over(made, 1, 1.0)
    saved(run)
    record = commit.decide(run)
    for torn in (made.checkpoints / ".r0001.partial/ckpt-1", made.checkpoints / "r0001/ckpt-1"):
        torn.mkdir(parents=True)
        (torn / "half").touch()
    commit.apply(made, run.run, record)
    assert sorted(os.listdir(made.checkpoints)) == ["r0001"]
    assert sorted(os.listdir(made.best_checkpoint / "ckpt-1")) == ["optimizer", "weights"]


def test_every_folder_of_a_copy_is_synced_before_its_meta(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = over(made, 1, 1.0)
    folder = saved(run)
    synced: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    checkpoint.promote(made, "r0001", folder, plain())
    meta = next(at for at, name in enumerate(synced) if name.startswith(".meta.json"))
    assert {"weights", "state", "optimizer", "ckpt-1"} <= set(synced[:meta])


# --- the link, and what is pruned ---


def test_a_best_without_a_checkpoint_takes_the_older_link_away(made: Experiment) -> None:
    """AR_BEST_CKPT must never lead to the state of a run that is not the best."""
    first = over(made, 1, 1.0)
    saved(first)
    committed(first)
    assert made.best_checkpoint.is_symlink()
    second: Result = committed(over(made, 2, 0.5))
    assert (second.verdict, second.checkpoint, second.reason) == ("advance", None, None)
    assert not os.path.lexists(made.best_checkpoint)


def test_pruning_keeps_what_best_json_names_and_what_is_not_ours(made: Experiment) -> None:
    for number, value in ((1, 1.0), (2, 0.5)):
        run = over(made, number, value)
        saved(run)
        committed(run)
        (made.checkpoints / "by-hand").mkdir(exist_ok=True)
    assert sorted(os.listdir(made.checkpoints)) == ["by-hand", "r0002"]
    committed(over(made, 3, 2.0))
    checkpoint.prune(made)
    assert sorted(os.listdir(made.checkpoints)) == ["by-hand", "r0002"]
