"""Places that people reach by ordinary means have a way out, which each command names."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.lab import Lab
from tests.support.shell import Shell, shells

INIT = ("--train", "t.py", "--goal", "less", "--primary-metric", "val/loss", "--primary-direction", "min")


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
    }
    (command,) = commands
    subprocess.run(command, shell=True, check=True, cwd=lab.project, env=lab.environment, timeout=60)
    assert "[r0002] advance: baseline" in said(shell, "run", "--wait", code=0)
    assert "--resume fresh" not in said(shell, "doctor", code=0)
