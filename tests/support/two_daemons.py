"""Two daemons and one project: the world of both, and how things stand there."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import lab as labs
from tests.support.jobs import launched
from tests.support.lab import Lab, wait_until

PROMPT = "tests.support.prompt"
KEY = Path("ardaemon/session.key")  # one user's, who has started the session
WAITING = """import os, time
while not os.path.exists({go!r}):
    time.sleep(0.01)
print("val/loss: 0.5")
"""


def begun(lab: Lab) -> None:
    """Start a daemon, an experiment and a session without GPUs."""
    lab.start(PROMPT)
    lab.init()
    lab.session(gpus=0)


@contextmanager
def pair(lab: Lab) -> Iterator[tuple[Lab, Lab]]:
    """A daemon with a project, and the world of another one on the same project, which is not started."""
    other = labs.make()
    try:
        begun(lab)
        shutil.rmtree(other.project)
        other.project = lab.project
        (other.state_home / KEY).parent.mkdir(mode=0o700)
        shutil.copy(lab.state_home / KEY, other.state_home / KEY)
        yield lab, other
    finally:
        other.close()


def owner(lab: Lab) -> dict[str, Any] | None:
    """Who has the project; None if nobody has."""

    def whole() -> tuple[dict[str, Any] | None] | None:
        try:
            return (json.loads((lab.project / ".autoresearch/.owner").read_bytes()),)
        except FileNotFoundError:
            return (None,)
        except ValueError:  # the file is made, and then its record is written in place
            return None

    found: dict[str, Any] | None = wait_until(whole, "the owner's record to be whole")[0]
    return found


def waiting(lab: Lab) -> Callable[[], object]:
    """Launch a run that waits for what this returns to be called."""
    go = lab.project / "go"
    launched(lab, WAITING.format(go=str(go)))
    return go.touch


def rows(lab: Lab) -> list[str]:
    """The run of each row of results.tsv."""
    table = lab.folder / "results.tsv"
    lines = table.read_text().splitlines()[1:] if table.exists() else []
    return [line.split("\t")[0] for line in lines]


def adopted(lab: Lab) -> dict[str, Any]:
    """Take over what is left in the project."""
    answer: dict[str, Any] = lab.call("project.adopt", project=str(lab.project))
    return answer
