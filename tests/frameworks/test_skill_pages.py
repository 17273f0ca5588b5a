"""The pages of the skill that need real frameworks: each command is run, and prints what the page shows."""

import shutil
from pathlib import Path

import pytest

from tests.support import skill_pages
from tests.support.lab import Lab

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = ("hf-trainer", "hydra-tensorboard", "plain-pytorch")
pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(600)]


def test_the_case_studies_are_what_the_examples_do(lab: Lab, frameworks: str) -> None:
    projects = [lab.project / name for name in CASES]
    for project in projects:
        copied(project.name, project)
    with skill_pages.shell(lab, *projects, first=Path(frameworks).parent) as shell:
        assert skill_pages.played(lab, shell, skill_pages.SKILLS / "run/references/case-studies.md") > 20


def test_a_hydra_project_is_started_by_overrides(lab: Lab, frameworks: str) -> None:
    copied("hydra-tensorboard", lab.project)
    with skill_pages.shell(lab, lab.project, first=Path(frameworks).parent) as shell:
        assert skill_pages.played(lab, shell, skill_pages.SKILLS / "setup/references/hydra.md") > 8


def copied(example: str, project: Path) -> None:
    """Copy an example without what plays its demo."""
    ignored = shutil.ignore_patterns("demo.toml", "__pycache__")
    shutil.copytree(EXAMPLES / example, project, ignore=ignored, dirs_exist_ok=True)
