"""The pages of the skill that show whole projects: each command is run in a copy of such a project.

A `python` block is the draft of a train.py; an edit is one of the newest experiment's train.py.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.support.lab import Lab
from tests.support.manual import blocks
from tests.support.open_shell import OpenShell, play

SKILLS = Path(__file__).parents[2] / "skill/skills"


@contextmanager
def shell(lab: Lab, *projects: Path, first: Path | None = None) -> Iterator[OpenShell]:
    """Open a shell in the lab's project, where `projects` are repositories; `first` is a folder of `PATH`."""
    for project in projects:
        subprocess.run(["git", "init", "-q", str(project)], check=True)
    environment = {n: v for n, v in lab.environment.items() if n != "PYTHONPATH"}
    if first is not None:
        environment["PATH"] = f"{first}:{environment['PATH']}"
    opened = OpenShell(environment, lab.project)
    try:
        yield opened
    finally:
        opened("arctl daemon stop")
        opened.close()


def write_draft(lab: Lab, text: str) -> None:
    """Write the train.py of which an experiment is made later."""
    folder = lab.project / ".autoresearch/draft"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(text)


def train(lab: Lab) -> Path:
    """The train.py of the newest experiment."""
    made = lab.project.rglob(".autoresearch/*/batch_contract.json")
    return max(made, key=lambda path: path.stat().st_mtime_ns).with_name("train.py")


def played(lab: Lab, opened: OpenShell, page: Path) -> int:
    """Run all of a page and compare; a `python` block is the draft for the commands below its heading."""
    texts = {b.place.heading: f"{b.text}\n" for b in blocks(page) if b.language == "python"}
    before: dict[str, Callable[[], object]] = {
        heading: partial(write_draft, lab, text) for heading, text in texts.items()
    }
    return play(page, opened, lambda: train(lab), before)
