"""`arctl restore`: the edit of a run that was put back is brought back, and no other edit is lost for it."""

import subprocess
from pathlib import Path

import pytest

from tests.support.lab import Lab
from tests.support.shell import Shell, shells


@pytest.fixture
def shell(lab: Lab) -> Shell:
    with shells(lab) as made:
        return made


def test_the_edit_of_a_crash_is_named_and_brought_back(shell: Shell) -> None:
    lab = shell.lab
    shell("run", "--wait")
    lab.write('raise ValueError("bad shape")\n')
    assert "; edit: runs/r0002/train.py; arctl tail or restore r0002\n" in shell("run", "--wait", code=10)
    train = lab.folder / "train.py"
    assert "bad shape" not in train.read_text()
    assert shell("restore", "r0002") == "train.py is that of r0002\n"
    assert "bad shape" in train.read_text()
    assert "train.py: in-sync with r0002" in shell("status")


def test_an_edit_that_nobody_has_run_is_archived_first(shell: Shell) -> None:
    lab = shell.lab
    shell("run", "--wait")
    lab.edit(0.5, note="not run yet")
    said = shell("restore").splitlines()
    assert said[0] == "train.py is that of r0001"
    kept = Path(said[1].removeprefix("the edit that stood there is in ")) / "train.py"
    assert "not run yet" in kept.read_text()
    assert "not run yet" not in (lab.folder / "train.py").read_text()


def test_a_run_that_is_not_there_changes_nothing(shell: Shell) -> None:
    shell("run", "--wait")
    shell.lab.edit(0.5)
    before = (shell.lab.folder / "train.py").read_bytes()
    code, _, err = shell.end(shell.start("restore", "r0042"))
    assert code == 64
    assert "no run r0042" in err
    assert (shell.lab.folder / "train.py").read_bytes() == before


def test_cancel_where_nothing_is_under_way_says_so(shell: Shell) -> None:
    shell("run", "--wait")
    code, _, err = shell.end(shell.start("cancel"))
    assert code == 65
    assert "is under way" in err
    assert "r0001" in shell("cancel", "r0001")  # a run that is named tells how it ended


def test_a_folder_in_the_place_of_train_py_is_left_there_and_named(shell: Shell) -> None:
    shell("run", "--wait")
    train = shell.lab.folder / "train.py"
    train.unlink()
    train.mkdir()
    code, _, err = shell.end(shell.start("restore", "r0001"))
    assert code == 74
    way = err[err.index("mv ") :]
    subprocess.run(way, shell=True, check=True)
    assert shell("restore", "r0001") == "train.py is that of r0001\n"
