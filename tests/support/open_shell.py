"""A shell that stays open, as an agent's does: what one command exports, the next one has."""

import subprocess
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path

from tests.support.manual import Command, Edit, headings, steps
from tests.support.shell import WAITS, but_for_waiting
from tests.support.shown import same

END = "\x1eend "


class OpenShell:
    """One bash process; close it at the end."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, command: str) -> tuple[int, str]:
        """Run a command: its exit code, and all that it printed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n{END}%s\\n' $?\n")
        self.process.stdin.flush()
        lines: list[str] = []
        for line in self.process.stdout:
            if line.startswith(END):
                return int(line.removeprefix(END)), "".join(lines)[:-1]
            lines.append(line)
        raise AssertionError(f"the shell has ended: {command}: {''.join(lines)}")

    def close(self) -> None:
        """End the shell."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def play(
    path: Path,
    shell: OpenShell,
    train: Callable[[], Path],
    before: Mapping[str, Callable[[], object]] | None = None,
    as_run: Callable[[Command], str] = attrgetter("text"),
) -> int:
    """Run all commands and edits of a file from top to bottom, compare what is printed, and count them.

    `train` is the train.py that an edit is meant for. `before` has what is to be done before the steps under
    a heading, as a person or the time would do it. `as_run` may change a command before it is run, as one
    that would wait for minutes.
    """
    coming = dict(before or {})
    unknown = coming.keys() - set(headings(path))
    assert not unknown, f"{path} has no heading {unknown}"
    listed = steps(path)
    for step in listed:
        coming.pop(step.place.heading, lambda: None)()
        if isinstance(step, Edit):
            step.apply(train())
        else:
            check(step, shell, as_run(step))
    return len(listed)


def check(step: Command, shell: OpenShell, text: str) -> None:
    """Run a command as `text` and compare what it printed with what the file shows."""
    code, printed = shell(text)
    printed = printed if WAITS.search(step.shown) else but_for_waiting(printed)
    told = f"{step.place}: $ {step.text}\nshown, {step.code}:\n{step.shown}\nprinted, {code}:\n{printed}"
    assert code == step.code, told
    assert same(step.shown, printed, step.measured), told
