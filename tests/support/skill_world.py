"""The world in which the commands of the skill are run: what a person or the time does in between."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support import toy
from tests.support.lab import Lab, wait_until
from tests.support.manual import Command
from tests.support.shell import RUNNER, Shell

RUN = ("run", "--wait", "--exit-zero")
# Runs until it is told to end; then it has trained less than the best.
HELD = """import os, time
while not os.path.exists({go!r}):
    time.sleep(0.02)
print("val/loss: 1.0500")
"""
SHORT_S = 1  # in a test nobody waits for 540 s


class World:
    """The toy project, its current experiment, and the commands as they are run."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.shell = Shell(lab)
        self.folder = toy.make(lab)
        self.held = False

    def train(self) -> Path:
        """The train.py of the experiment that was made last."""
        return self.folder / "train.py"

    def edit(self, before: str, after: str, note: str) -> None:
        """Edit train.py as an agent does."""
        text = re.sub(
            r"^RUN_NOTE = .*$", f'RUN_NOTE = "{note}"', self.train().read_text(), flags=re.MULTILINE
        )
        assert text.count(before) == 1, text
        self.train().write_text(text.replace(before, after))

    def tried(self, before: str, after: str, note: str) -> str:
        """An iteration: an edit and its run; what was printed."""
        self.edit(before, after, note)
        return self.shell(*RUN)

    def hold(self) -> None:
        """A run that takes longer than the command that waits for it."""
        self.train().write_text(HELD.format(go=str(self.shell.go)))
        self.shell("run")
        wait_until(lambda: self.shell.states() == ["running"], "the run runs")
        self.held = True

    def as_run(self, step: Command) -> str:
        """The command as the test runs it."""
        self._note_child(step.text)
        if not self.held or not step.text.startswith("arctl wait"):
            return step.text
        if step.shown.startswith("[") and " still running " in step.shown:
            return step.text.replace("--timeout 540", f"--timeout {SHORT_S}")
        self.shell.release()
        self.held = False
        return step.text

    def _note_child(self, text: str) -> None:
        """From now on the experiment that the command makes is edited."""
        if "chain-init" in text:
            self.folder = self.folder.parent / text.partition("--new-slug ")[2].split()[0]

    def try_in_vain(self, most: int) -> None:
        """Run edits that are no better until the session is over, at most so many."""
        for number in range(most):
            rate = f"lr = {0.295 - number / 100:g}"
            if " terminated" in self.tried("lr = 0.3", rate, f"a smaller rate: {rate}"):
                return
        raise AssertionError("the session goes on")


def skill_hooks(world: World) -> dict[str, Callable[[], object]]:
    """What happens before the steps under a heading of SKILL.md."""
    note = "lr 0.1 -> 0.2: the loss still falls at the last step"
    return {
        "State": lambda: world.tried("lr = 0.1", "lr = 0.2", note),
        "Still running": world.hold,
        "Crash": lambda: world.tried("lr = 0.2", "lr = 0.3 * scale", "lr 0.2 -> 0.3"),
        "One ahead": lambda: world.edit("lr = 0.2", "lr = 0.3", "lr 0.2 -> 0.3: the same, faster"),
        "Chain": lambda: world.try_in_vain(10),
    }


def protocol_hooks(world: World) -> dict[str, Callable[[], object]]:
    """The same of loop-protocol.md."""

    def two_iterations() -> None:
        world.tried("lr = 0.1", "lr = 0.15", "lr 0.1 -> 0.15: the loss still falls at the last step")
        world.tried("lr = 0.15", "lr = 0.05", "lr 0.15 -> 0.05: quieter steps")

    return {"Hypothesis": two_iterations}


def transition_hooks(world: World) -> dict[str, Callable[[], object]]:
    """The same of chain-transition.md: an experiment that is over stands at its beginning."""

    def run_to_the_end() -> None:
        limits = ("--plateau", "3", "--chain", "2", "--checkpoint-glob", "{run_dir}/state.pt")
        world.shell("session", "start", "--seconds", "600", *RUNNER, *limits)
        world.shell(*RUN)
        world.tried("lr = 0.1", "lr = 0.2", "lr 0.1 -> 0.2: larger first steps")
        world.tried("lr = 0.2", "lr = 0.3 * scale", "lr 0.2 -> 0.3")
        world.tried("lr = 0.2", "lr = 0.15", "lr 0.2 -> 0.15")
        world.tried("lr = 0.2", "lr = 0.18", "lr 0.2 -> 0.18")

    return {"The report": run_to_the_end}


def discipline_hooks(world: World) -> dict[str, Callable[[], object]]:
    """The same of write-discipline.md: a session with a baseline."""

    def begin() -> None:
        world.shell("session", "start", "--seconds", "600", *RUNNER, "--plateau", "10", "--max-runs", "200")
        world.shell(*RUN)

    return {"Changing the host project without writing to it": begin}


# Each page, and what happens before the steps under its headings.
HOOKS: dict[str, Callable[[World], Mapping[str, Callable[[], object]]]] = {
    "SKILL.md": skill_hooks,
    "loop-protocol.md": protocol_hooks,
    "chain-transition.md": transition_hooks,
    "write-discipline.md": discipline_hooks,
}
