"""The pages of the skill that show whole projects: each command is run in a copy of such a project.

What the pages call `train.py` is a draft in a folder outside the project, and later the newest experiment's.
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
    folder = drafts(lab) / "first"
    folder.mkdir(parents=True)
    environment = {n: v for n, v in lab.environment.items() if n != "PYTHONPATH"}
    if first is not None:
        environment["PATH"] = f"{first}:{environment['PATH']}"
    opened = OpenShell({**environment, "TMPDIR": str(folder.parent), "draft": str(folder)}, lab.project)
    try:
        yield opened
    finally:
        opened("arctl daemon stop")
        opened.close()


def drafts(lab: Lab) -> Path:
    """The folder in which `mktemp` makes others."""
    return lab.root / "drafts"


def draft(lab: Lab) -> Path:
    """The train.py that is written before the experiment is made, in the newest of these folders."""
    return max(drafts(lab).iterdir(), key=_born) / "train.py"


def train(lab: Lab) -> Path:
    """The train.py of the newest experiment."""
    return max(lab.project.rglob(".autoresearch/*/batch_contract.json"), key=_born).with_name("train.py")


def _born(path: Path) -> int:
    return path.stat().st_mtime_ns


def played(lab: Lab, opened: OpenShell, page: Path) -> int:
    """Run all of a page and compare; a `python` block is the draft for the commands below its heading."""
    texts = {b.place.heading: f"{b.text}\n" for b in blocks(page) if b.language == "python"}
    before: dict[str, Callable[[], object]] = {
        heading: partial(lambda text: draft(lab).write_text(text), text) for heading, text in texts.items()
    }
    return play(page, opened, lambda: train(lab), before)
