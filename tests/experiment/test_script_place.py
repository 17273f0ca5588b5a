"""Where a script was taken from, and where its versions are executed."""

from pathlib import Path

import pytest

from ardaemon.core.config import NEIGHBOURS_MAX
from ardaemon.core.model import Settings
from ardaemon.core.protocol import Seal
from ardaemon.experiment import script_place, seal
from ardaemon.experiment.state import load
from tests.support.folders import experiment


def test_the_origin_is_a_path_in_the_project_or_an_absolute_one(tmp_path: Path) -> None:
    project, other = tmp_path / "p", tmp_path / "other.py"
    (project / "src").mkdir(parents=True)
    (project / ".autoresearch/draft").mkdir(parents=True)
    other.touch()
    (project / "link.py").symlink_to(other)
    (project / "linked.py").symlink_to("src/train.py")
    (project / "src/train.py").touch()
    for given, origin in (
        ("train.py", "train.py"),
        ("src/train.py", "src/train.py"),
        ("linked.py", "src/train.py"),  # the interpreter puts the folder of the file itself on its path
        ("link.py", str(other)),
        (".autoresearch/draft/train.py", None),
    ):
        assert script_place.origin_of(project / given, project) == origin
    assert script_place.origin_of(other, project) == str(other)


@pytest.mark.parametrize(
    "origin", ["../x.py", "a/../../x.py", "a//x.py", "", ".", "/", ".autoresearch/x/train.py"]
)
def test_an_origin_that_leads_out_of_the_project_is_none(origin: str) -> None:
    """A project may have come with a clone, and with it this word."""
    assert script_place.checked(origin) is None


@pytest.mark.parametrize("origin", [None, "train.py", "src/train.py", "/x/train.py"])
def test_what_init_writes_down_is_an_origin(origin: str | None) -> None:
    assert script_place.checked(origin) == origin


def test_a_version_is_executed_at_the_depth_of_its_original(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    run = made.run("r0001")
    snapshot, live = Settings(seconds=1), Settings(seconds=1, exec="live")
    for origin, inside in (("train.py", "train.py"), ("a/b/main.py", "a/b/main.py"), ("/x/t.py", "t.py")):
        assert script_place.script(made, run, snapshot, origin) == run.job / "project" / inside
    assert script_place.script(made, run, snapshot, None) == run.script
    assert script_place.script(made, run, live, "a/main.py") == tmp_path / f"a/.ar-{made.slug}-main.py"
    for elsewhere in (None, "/x/t.py"):
        assert script_place.script(made, run, live, elsewhere) == made.train


def test_a_folder_of_too_many_names_is_said(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    (tmp_path / "src").mkdir()
    for number in range(NEIGHBOURS_MAX + 1):
        (tmp_path / f"src/{number}").touch()
    [note] = script_place.notes(made, "src/train.py")
    assert f"{tmp_path}/src holds more than {NEIGHBOURS_MAX}" in note
    assert script_place.notes(made, "gone/train.py") == []
    assert script_place.notes(made, None) == []


def test_too_many_names_beside_train_py_are_said(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    for number in range(NEIGHBOURS_MAX):
        (made.folder / f"{number}.txt").touch()
    [note] = script_place.notes(made, "train.py")
    beside = NEIGHBOURS_MAX + len({"program.md", "prepare.py"})
    assert note.startswith(
        f"{made.folder} holds {beside} names beside train.py: a run's copy finds the first"
    )


def test_a_seal_that_is_made_anew_keeps_the_origin_and_the_lock_goes_along(tmp_path: Path) -> None:
    (tmp_path / "train.py.lock").write_text("version = 1\n")
    made = experiment(tmp_path)
    assert script_place.lock_of(made.train).read_text() == "version = 1\n"
    assert load(made).contract.origin == "train.py"
    made.prepare.write_text("CONTRACT = {'version': 2}\n")
    seal.seal(made, Seal(project=str(tmp_path), accept=True))
    assert load(made).contract.origin == "train.py"
