"""A project has one owner: a second daemon, of another state folder, refuses what it would write there."""

from pathlib import Path

import pytest

from ardaemon.core import errors
from tests.support.jobs import launched
from tests.support.lab import Lab
from tests.support.shell import Shell

SLEEP = "import time\nprint('val/loss: 1', flush=True)\ntime.sleep(60)\n"


def other_home(lab: Lab) -> str:
    """Let the lab's commands and daemons have another state and runtime folder; returns the old one."""
    before = lab.environment["XDG_STATE_HOME"]
    for name, folder in (("XDG_STATE_HOME", "s2"), ("XDG_RUNTIME_DIR", "r2")):
        (lab.root / folder).mkdir(mode=0o700)
        lab.environment[name] = str(lab.root / folder)
    return before


def snapshot(lab: Lab, run_id: str) -> str:
    return Path(lab.folder / f"runs/{run_id}/train.py").read_text()


@pytest.mark.parametrize("alive", [True, False])
def test_a_second_daemon_takes_no_queued_run_of_the_first_for_its_own(lab: Lab, alive: bool) -> None:
    lab.ready()
    launched(lab, SLEEP)
    lab.edit(0.5, note="of the first daemon")
    second = lab.submit()["run_id"]
    if not alive:
        lab.kill()
    before, shell = other_home(lab), Shell(lab)
    lab.edit(0.6, note="of the second daemon")
    _, _, said = shell.end(shell.start("run"))
    assert f"XDG_STATE_HOME={before}" in said
    assert "of the first daemon" in snapshot(lab, second)
    assert shell.json("status")["expr"] == lab.folder.name, "it may be looked at"
    shell("daemon", "stop")


def test_a_project_whose_daemon_has_ended_and_has_no_runs_there_gets_another_owner(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    lab.stop()
    other_home(lab)
    shell = Shell(lab)
    lab.edit(0.5)
    assert "advance" in shell("run", "--wait")
    shell("daemon", "stop")


def test_a_run_that_waits_is_not_taken_up_while_another_daemon_owns_its_project(lab: Lab) -> None:
    lab.ready()
    lab.tried(1.0)
    (lab.project / ".autoresearch/.owner").unlink()  # as if it had been on a disk that knows no locks
    other_home(lab)
    shell = Shell(lab)
    lab.edit(0.5)
    assert "advance" in shell("run", "--wait")
    with pytest.raises(errors.Refused, match="another daemon owns"):
        lab.submit()
    shell("daemon", "stop")
    lab.submit()
