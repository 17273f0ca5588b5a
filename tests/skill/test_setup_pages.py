"""The pages of the skill `setup`: each command is run in a project, and prints what the page shows."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import skill_pages
from tests.support.lab import Lab
from tests.support.manual import blocks
from tests.support.open_shell import OpenShell

SETUP = skill_pages.SKILLS / "setup"
PATTERNS = SETUP / "references/host-patterns.md"
# Each page that is run in this project, and how many commands it has at least.
PLAYED = {
    "SKILL.md": 9,
    "references/project-analysis.md": 5,
    "references/host-patterns.md": 9,
    "references/metric-not-read.md": 25,
}
PROJECT = Path(__file__).parent / "projects/prices"


@pytest.fixture
def shell(lab: Lab) -> Iterator[OpenShell]:
    """A shell in a copy of a project that knows nothing of arctl, with the first pattern as the draft."""
    shutil.copytree(PROJECT, lab.project, dirs_exist_ok=True)
    with skill_pages.shell(lab, lab.project) as opened:
        first = next(block for block in blocks(PATTERNS) if block.language == "python")
        skill_pages.write_draft(lab, f"{first.text}\n")
        yield opened


@pytest.mark.parametrize("name", PLAYED)
def test_each_command_of_a_page_prints_what_the_page_shows(lab: Lab, shell: OpenShell, name: str) -> None:
    assert skill_pages.played(lab, shell, SETUP / name) >= PLAYED[name]
