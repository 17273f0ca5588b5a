"""What an error advises is given as it is printed, and is not refused: each state of an experiment."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.support.lab import DEADLINE_S, LIMIT_S, SLUG, Lab
from tests.support.shell import Shell, ended_by_arctl, shells

_AS_PRINTED = re.compile(r"arctl [^;()`]*")


def advice(shell: Shell, *arguments: str) -> str:
    """The mend of the error that a command ends with."""
    code, _, err = shell.end(shell.start(*arguments, "--json"))
    assert code not in (0, 70), err
    return str(json.loads(err)["error"]["data"]["mend"])


def follow(lab: Lab, mend: str, number: int = 0) -> None:
    """Give one of the command lines of a mend to a shell, with the earlier limit where it has N."""
    line = _AS_PRINTED.findall(mend)[number].rstrip(" ,.").replace("--seconds N", f"--seconds {LIMIT_S:g}")
    program = f'arctl() {{ {shlex.join([sys.executable, "-m", "arctl"])} "$@"; }}; {line}'
    options: dict[str, Any] = {"cwd": lab.project, "env": lab.environment, "timeout": DEADLINE_S}
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, **options)
    assert done.returncode == 0, (line, done.stdout, done.stderr)


def without_train(shell: Shell) -> None:
    (shell.lab.folder / "train.py").unlink()


def over(shell: Shell) -> None:
    shell("session", "stop")


def other_data(shell: Shell) -> None:
    with (shell.lab.project / "data.txt").open("a") as file:
        file.write("changed\n")


def another_seal(shell: Shell) -> None:
    other_data(shell)
    shell("seal", "--accept")


def another_metric(shell: Shell) -> None:
    program = shell.lab.folder / "program.md"
    program.write_text(program.read_text().replace('metric = "val/loss"', 'metric = "val/acc"'))
    shell("seal", "--accept")


def settings_lost(shell: Shell) -> None:
    """As after a fault of the disk: the session is rebuilt, but for its settings."""
    (shell.lab.folder / ".ar-session.json").write_text("{")


def gone_over(shell: Shell) -> None:
    """No session was ever started."""
    over(shell)
    path = shell.lab.folder / ".ar-session.json"
    session = json.loads(path.read_text())
    path.write_text(json.dumps({**session, "settings": None, "live": False}))


# How the experiment is brought to a halt, which of the lines of the advice is followed, and whether runs are
# accepted then (else there is the next advice, as the next row has it).
STATES: list[tuple[Callable[[Shell], None] | None, int, bool]] = [
    (without_train, 0, True),
    (over, 0, True),
    (settings_lost, 0, True),
    (gone_over, 0, True),
    (other_data, 0, False),
    (None, 0, True),
    (another_seal, 1, True),
    (another_metric, 0, True),
]


def test_what_an_error_advises_is_not_refused(lab: Lab) -> None:
    """Of `arctl run`, in every state in which it takes no run and says which command leads on."""
    with shells(lab) as shell:
        (lab.project / "data.txt").write_text("as it was\n")
        shell("seal", "--add", "data.txt")
        shell("session", "stop")
        shell(
            "session", "start", "--resume", "continue", "--runner", "none"
        )  # as a lost session is begun anew
        shell("run", "--wait")
        for bring_about, number, goes_on in STATES:
            if bring_about is not None:
                bring_about(shell)
            follow(lab, advice(shell, "run", "--again"), number)
            if goes_on:
                shell("run", "--again", "--wait", "--exit-zero")


def test_in_a_project_without_an_experiment_init_is_advised_with_all_that_it_needs(lab: Lab) -> None:
    shell = Shell(lab)
    (lab.project / "t.py").write_text("pass\n")
    line = advice(shell, "status").partition("arctl ")[2]
    given = {"SLUG": SLUG, "PATH": "t.py", "NAME": "val_loss", "min|max": "min", "TEXT": "less"}
    for word, value in given.items():
        line = line.replace(word, value)
    with ended_by_arctl(shell):
        shell(*shlex.split(line))
