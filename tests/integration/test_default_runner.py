"""A session that is told no runner: which one is chosen, where it is shown, and that it stays."""

import os
import shutil
import sys
from pathlib import Path

from tests.support.lab import SLUG, Lab
from tests.support.shell import GOAL, Shell, ended_by_arctl

# Prints which environment ran it, as only its interpreter can tell.
WHO = 'import os\nprint("ran by", os.environ["WHO"])\nprint("val/loss: 1.0")\n'


def environment(folder: Path) -> str:
    """An environment whose python tells its name to what it runs."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nWHO={folder.name} exec {os.path.realpath(sys.executable)} "$@"\n')
    python.chmod(0o755)
    return str(folder)


def shown(text: str) -> list[str]:
    """What is said of the runner."""
    return [line.strip() for line in text.splitlines() if "runner" in line]


def test_the_runner_is_chosen_once_written_down_and_shown(lab: Lab) -> None:
    ours, other = environment(lab.root / "ours"), environment(lab.root / "other")
    bare, own = dict(lab.environment), str(Path(sys.executable).parent)
    bare.pop("VIRTUAL_ENV", None)
    shell = Shell(lab)
    (lab.project / "t.py").write_text(WHO)
    shell("init", SLUG, "--train", "t.py", *GOAL)
    lab.environment = {**bare, "VIRTUAL_ENV": ours}
    with ended_by_arctl(shell):
        begun = shown(shell("session", "start", "--seconds", "20", "--settle", "0"))
        runner = f"runner: {ours}/bin/python train.py"
        assert begun[0] == runner
        assert begun[1].startswith(f"runner chosen: the active environment, VIRTUAL_ENV={ours}; ")
        assert lab.read(".ar-session.json")["settings"]["runner"] == f"{ours}/bin/python train.py"

        lab.environment = {**bare, "VIRTUAL_ENV": other, "PATH": f"{other}/bin:{bare['PATH']}"}
        assert "ran by ours" in shell("run", "--wait") + shell("tail")  # whatever is active in this shell
        assert shown(shell("session", "show")) == [runner]
        assert shown(shell("status")) == [runner]
        assert f"ok    {runner} ({ours}/bin/python)" in shell("doctor", code=None)

        code, _, error = shell.end(shell.start("session", "set", "--runner", "none"))
        assert (code, "--runner none --ack-baseline" in error) == (65, True)
        shell("session", "stop")
        again = shown(shell("session", "start", "--resume", "continue"))
        assert [again[0], "runner" in again[1]] == [runner, True]  # it is inherited, and not chosen again
        assert again[1].startswith("inherited: ")

        shell("session", "stop")
        anew = shown(shell("session", "start", "--resume", "continue", "--runner", "none", "--ack-baseline"))
        assert anew[0] == f"runner: {other}/bin/python train.py"
        shutil.rmtree(other)
        assert "warn  runner: " in shell("doctor", code=None)
        code, _, error = shell.end(shell.start("run", "--wait"))
        assert (code, f"{other}/bin/python" in error) == (65, True)

        shell("session", "stop")
        lab.environment = {**bare, "VIRTUAL_ENV": sys.prefix, "PATH": own}
        code, _, error = shell.end(
            shell.start("session", "start", "--resume", "continue", "--runner", "none")
        )
        assert code != 0, "this Python is the daemon's own, and there is no other"
        assert "ardaemon's own environment" in error


def test_a_session_of_an_earlier_version_keeps_the_python_of_the_shell_and_doctor_says_whose(
    lab: Lab,
) -> None:
    lab.ready()  # as a client of an earlier version asks for it
    assert "runner" not in lab.read(".ar-session.json")["settings"]
    shell = Shell(lab)
    assert shown(shell("session", "show")) == ["runner: python train.py"]
    assert shown(shell("status")) == ["runner: python train.py"]
    assert "runner: python train.py: that is" in shell("doctor", code=None)
    assert lab.run()["status"] == "ok"
