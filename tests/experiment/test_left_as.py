"""How an experiment was left, kept in the daemon's state folder."""

from pathlib import Path

import pytest

from ardaemon.core.layout import Experiment, Project
from ardaemon.experiment import generation, left_as
from ardaemon.experiment.generation import Newest
from tests.support import folders, runs

pytestmark = pytest.mark.promise("one-owner")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """The folder of the notes."""
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


@pytest.fixture
def tried(tmp_path: Path) -> Experiment:
    """An experiment with one run."""
    experiment = folders.experiment(tmp_path)
    runs.start(experiment)
    runs.tried(experiment, 0.9)
    return experiment


def test_what_is_noted_is_known_to_the_next_daemon(tried: Experiment, notes: Path) -> None:
    left_as.note(notes, Project(tried.project))
    left = generation.newest(tried)
    assert left.last_run == 1
    generation.forget(tried)
    generation.recall(tried, left_as.recalled(notes, tried))
    assert generation.newest(tried) == left


def test_nothing_is_written_again_that_is_noted(tried: Experiment, notes: Path) -> None:
    left_as.note(notes, Project(tried.project))
    (path,) = notes.iterdir()
    before = path.stat().st_ino
    left_as.note(notes, Project(tried.project))
    assert path.stat().st_ino == before


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 99}'])
def test_a_broken_note_says_nothing_and_is_written_anew(
    tried: Experiment, notes: Path, content: bytes
) -> None:
    left_as.note(notes, Project(tried.project))
    (path,) = notes.iterdir()
    path.write_bytes(content)
    assert left_as.recalled(notes, tried) == Newest()
    left_as.note(notes, Project(tried.project))
    assert left_as.recalled(notes, tried) == generation.newest(tried)


def test_of_experiments_without_a_lineage_nothing_is_noted(tmp_path: Path, notes: Path) -> None:
    """An earlier version has made them: the note could be of another one in the same place."""
    experiment = folders.experiment(tmp_path)
    generation.forget(experiment)
    left_as.note(notes, Project(experiment.project))
    assert list(notes.iterdir()) == []


def test_only_so_many_notes_are_kept(tried: Experiment, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_as, "NOTES_MAX", 2)
    for number in range(3):
        (notes / f"{number}.json").write_bytes(b"{}")
    left_as.note(notes, Project(tried.project))
    assert len(list(notes.iterdir())) == 2
    assert left_as.recalled(notes, tried) == generation.newest(tried)
