"""Places that people reach by ordinary means have a way out, which each command names."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.lab import Lab
from tests.support.shell import Shell, shells

INIT = ("--train", "t.py", "--goal", "less", "--primary-metric", "val/loss", "--primary-direction", "min")

LATEST = (("result",), ("wait",), ("cancel",), ("tail",))  # without a run's name they mean the latest


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    """A project with a live session."""
    with shells(lab) as made:
        yield made


def said(shell: Shell, *arguments: str, code: int) -> str:
    """All that a command says."""
    ended, out, err = shell.end(shell.start(*arguments))
    assert ended == code, out + err
    return out + err


def way(text: str) -> str:
    """The command that a text names, up to its end."""
    (line,) = (line for line in text.splitlines() if "--resume fresh" in line)
    return line[line.index("arctl session stop") :].rstrip(")")


def test_an_experiment_whose_runs_were_deleted_goes_on_as_every_command_says(shell: Shell) -> None:
    lab = shell.lab
    lab.tried(0.5)
    shutil.rmtree(lab.folder / "runs")
    commands = {
        way(said(shell, "run", "--wait", code=65)),
        way(said(shell, "session", "start", "--seconds", "20", code=65)),
        way(said(shell, "init", lab.folder.name, *INIT, code=64)),
        way(said(shell, "doctor", code=65)),
        way(said(shell, "status", "--compact", code=0)),
        way(said(shell, "history", "--similar", code=65)),
        *(way(said(shell, *latest, code=65)) for latest in LATEST),
    }
    (command,) = commands
    assert "no value that another launch could be compared with" in said(shell, "noise", code=0)
    subprocess.run(command, shell=True, check=True, cwd=lab.project, env=lab.environment, timeout=60)
    for latest in LATEST:
        assert "has no run yet" in said(shell, *latest, code=64)
    assert "[r0002] advance: baseline" in said(shell, "run", "--wait", code=0)
    assert "--resume fresh" not in said(shell, "doctor", code=0)


def test_the_latest_run_is_one_that_the_copy_from_before_has(shell: Shell) -> None:
    lab = shell.lab
    lab.tried(0.5)
    shutil.copytree(lab.folder, lab.root / "copy", symlinks=True)
    lab.tried(0.4)
    lab.settled()
    shutil.rmtree(lab.folder)
    shutil.copytree(lab.root / "copy", lab.folder, symlinks=True)
    said(shell, "session", "stop", code=0)
    said(shell, "session", "start", "--resume", "continue", code=0)
    assert "[r0001] advance" in said(shell, "result", code=0)
    assert "[r0001] advance" in said(shell, "wait", code=0)
    assert "no run r0002" in said(shell, "result", "r0002", code=64)


def test_a_folder_that_nobody_can_list_is_named_by_the_next_run(shell: Shell) -> None:
    lab = shell.lab
    lab.tried(0.5)
    lab.kill()  # the next daemon looks for what this one left half written
    shutil.rmtree(lab.folder / ".versions")
    (lab.folder / ".versions").symlink_to(".versions")
    lab.start()
    lab.edit(0.4)
    assert f"mv {lab.folder}/.versions" in said(shell, "run", "--wait", code=74)
