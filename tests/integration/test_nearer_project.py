"""A repository inside a project is a project of its own; who stands in it is told of the one around it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.lab import SLUG, Lab
from tests.support.shell import Shell


def repository(folder: Path) -> None:
    folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


def worktree(folder: Path) -> None:
    """As git makes one: `.git` is a file there."""
    folder.mkdir()
    (folder / ".git").write_text("gitdir: ../.git/worktrees/inner\n")


@pytest.mark.parametrize("make", [repository, worktree])
def test_the_nearer_root_counts_and_the_experiment_around_it_is_named_with_the_option_that_means_it(
    lab: Lab, make: Callable[[Path], None]
) -> None:
    lab.ready()
    inner = lab.project / "inner"
    make(inner)
    (inner / "below").mkdir()
    shell = Shell(lab)
    code, _, err = shell.end(shell.start("run", "--wait", cwd=inner / "below"))
    assert code == 64
    assert f"there is no experiment in {inner}" in err
    assert f"the project above it, {lab.project}, has {SLUG}, whose session is live" in err
    assert f"arctl status --project {lab.project}" in err
    code, out, _ = shell.end(shell.start("status", "--project", str(lab.project), cwd=inner))
    assert code == 0
    assert f"expr: {SLUG}" in out
    made = ["init", "261122-inner", "--train", str(lab.project / "train.py"), "--primary-metric", "val/loss"]
    made += ["--primary-direction", "min", "--goal", "x"]
    code, out, err = shell.end(shell.start(*made, cwd=inner / "below"))
    assert code == 0, err
    assert f"its runs start in {inner}, the project's root, and not in this folder" in out
    assert (inner / ".autoresearch/261122-inner").is_dir()
    assert [path.name for path in (lab.project / ".autoresearch").glob("2*")] == [SLUG]
    code, out, _ = shell.end(shell.start("status", cwd=inner))
    assert "expr: 261122-inner" in out


def test_a_project_that_does_not_exist_is_refused_by_name(lab: Lab) -> None:
    lab.start()
    shell = Shell(lab)
    code, _, err = shell.end(shell.start("status", "--project", str(lab.root / "missing"), cwd=lab.project))
    assert code == 64
    assert "missing" in err
