"""Starting a session: `fresh` and `revert` lose no version of train.py, wherever they are cut short."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ardaemon.core.errors import CorruptState, StorageError
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Counters, Placed, Session
from ardaemon.experiment import fresh, placing, repair, restore, session, train_file
from ardaemon.experiment import state as experiments
from ardaemon.host import state
from tests.support.folders import TRAIN, experiment
from tests.support.runs import everything, killed_at, start, tried

STAMP = "20261122T100000000000"
EDIT = "# an idea that nobody has run yet\n"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """Two runs that advanced, a checkpoint, an edit in train.py; no session is live."""
    for module in (session, restore):
        monkeypatch.setattr(module, "stamp", lambda: STAMP)
    found = experiment(tmp_path)
    start(found)
    tried(found, 1.0)
    tried(found, 0.5)
    (found.checkpoints / "r0002").mkdir(parents=True)
    (found.checkpoints / "r0002" / "state.pt").write_bytes(b"weights")
    os.symlink(".ckpt/r0002", found.best_checkpoint)
    session.stop(found)
    found.train.write_text(EDIT)
    return found


def session_of(made: Experiment) -> Session:
    found = state.read(made.session, Session)
    assert found is not None
    return found


def files(made: Experiment) -> dict[str, bytes | str]:
    """All but the session, which names the time at which it was started, and what the next daemon sweeps."""
    found = everything(made.folder).items()
    return {name: data for name, data in found if name != made.session.name and not name.endswith(".tmp")}


# --- fresh ---


def test_fresh_begins_with_the_original_and_keeps_all_in_the_archive(made: Experiment) -> None:
    before, last = everything(made.folder), session_of(made).last_run
    started = start(made, "fresh")
    archived = everything(made.archive / STAMP)
    assert archived["train.py"] == EDIT.encode()
    assert archived["best_ckpt"] == ".ckpt/r0002"
    for name, data in before.items():
        if name.startswith((*fresh.OUTCOMES, "train.py")):
            assert archived[name] == data, name
    assert made.train.read_text() == TRAIN
    assert [p.name for p in made.runs.iterdir()] == ["r0000"]
    assert not made.best.exists()
    assert not made.results.exists()
    assert (started.live, started.counters, started.archiving) == (True, Counters(), None)
    assert started.placed == Placed("r0000", train_file.sha256(TRAIN.encode()))
    assert tried(made, 3.0).run_id == f"r{last + 1:04d}"


def test_fresh_killed_at_any_step_is_finished_by_the_next_load(made: Experiment) -> None:
    kept = made.project / "kept"
    shutil.copytree(made.folder, kept, symlinks=True)
    untouched = files(made)
    start(made, "fresh")
    whole, fresh = files(made), session_of(made)
    seen = set()
    for step in range(1, 100):
        shutil.rmtree(made.folder)
        shutil.copytree(kept, made.folder, symlinks=True)
        if not killed_at(step, lambda: start(made, "fresh")):
            break
        begun = session_of(made).archiving is not None
        found = repair.load_or_repair(made)
        assert found.best is None or found.best.run_id == "r0002"
        stage = "untouched" if files(made) == untouched else "whole"
        seen.add((stage, begun))
        assert files(made) == (untouched if stage == "untouched" else whole), step
        if begun:
            assert stage == "whole"
            assert any(STAMP in warning for warning in found.warnings)
        if stage == "whole":
            assert (found.session.counters, found.session.placed) == (Counters(), fresh.placed)
            assert (found.session.archiving, found.session.last_run) == (None, 2)
        assert experiments.load(made).warnings == []
    assert 15 < step < 99
    assert {("untouched", False), ("whole", True), ("whole", False)} <= seen


def test_fresh_killed_at_every_step_of_its_own_finish_comes_to_its_end(made: Experiment) -> None:
    kept = made.project / "kept"
    shutil.copytree(made.folder, kept, symlinks=True)
    start(made, "fresh")
    whole = files(made)
    shutil.rmtree(made.folder)
    shutil.copytree(kept, made.folder, symlinks=True)
    state.write(made.session, replace(session_of(made), archiving=STAMP))
    step = 1
    while killed_at(step, lambda: repair.load_or_repair(made)):
        step += 1
    assert step > 10
    assert files(made) == whole
    assert session_of(made).archiving is None


def test_a_fresh_that_is_under_way_is_no_state_to_work_with(made: Experiment) -> None:
    state.write(made.session, replace(session_of(made), archiving=STAMP))
    with pytest.raises(CorruptState, match="cut short"):
        experiments.load(made)


def test_an_edit_made_after_the_kill_stays_and_is_not_taken_for_the_original(made: Experiment) -> None:
    state.write(made.session, replace(session_of(made), archiving=STAMP))
    fresh.archive_train(made, STAMP)
    made.train.write_text("# a newer idea\n")
    found = repair.load_or_repair(made)
    assert made.train.read_text() == "# a newer idea\n"
    assert (made.archive / STAMP / "train.py").read_text() == EDIT
    assert found.session.placed is None


def test_fresh_takes_a_broken_table_into_the_archive_as_it_is(made: Experiment) -> None:
    state.write(made.session, replace(session_of(made), archiving=STAMP))
    made.results.write_bytes(b"who wrote this?")
    repair.load_or_repair(made)
    assert (made.archive / STAMP / "results.tsv").read_bytes() == b"who wrote this?"
    assert not made.results.exists()


def test_fresh_without_its_original_is_refused_before_anything_moves(made: Experiment) -> None:
    """Its copy is gone, and train.py, which would be the next one."""
    made.run("r0000").train.unlink()
    made.version("r0000").unlink()
    made.train.unlink()
    before = everything(made.folder)
    with pytest.raises(StorageError, match="r0000"):
        start(made, "fresh")
    assert everything(made.folder) == before


def test_fresh_twice_fills_two_folders(made: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    start(made, "fresh")
    session.stop(made)
    monkeypatch.setattr(session, "stamp", lambda: "20261122T110000000000")
    start(made, "fresh")
    assert len(list(made.archive.iterdir())) == 2
    assert made.train.read_text() == TRAIN


# --- revert ---


def test_revert_puts_the_best_back_and_the_edit_into_the_archive(made: Experiment) -> None:
    started = start(made, "revert")
    assert made.train.read_bytes() == made.run("r0002").train.read_bytes()
    assert (made.archive / STAMP / "train.py").read_text() == EDIT
    assert started.placed is not None
    assert started.placed.run_id == "r0002"


def test_what_revert_puts_into_the_archive_is_synced_before_train_py_is_overwritten(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def told(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(os, "fsync", told)
    start(made, "revert")
    copy = next(at for at, path in enumerate(synced) if "/archive/" in path and ".train.py." in path)
    ours = next(
        at for at, path in enumerate(synced) if Path(path).parent == made.folder and "train.py" in path
    )
    assert copy < ours


def test_an_edit_in_the_moment_of_the_revert_stays_and_is_not_noted_as_placed(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = session_of(made).placed, placing.place
    state.write(made.session, replace(session_of(made), placed=Placed("r0001", "00")))

    def edited_first(*given: Any) -> Any:
        made.train.write_text("# saved in this moment\n")
        return real(*given)

    monkeypatch.setattr(placing, "place", edited_first)
    started = start(made, "revert")
    assert made.train.read_text() == "# saved in this moment\n"
    assert started.placed == Placed("r0001", "00") != before
