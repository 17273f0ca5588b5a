"""What the edit guard lets pass is what write-discipline.md says, row by row."""

import re
from itertools import product
from pathlib import Path

import pytest

from tests.support.every import every
from tests.support.guards import SLUG, ask, edit, project
from tests.support.imports import ROOT

PAGE = (ROOT / "skill/skills/run/references/write-discipline.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the rows of the table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def below_home() -> dict[str, bool]:
    """Each path that the page names under .autoresearch/, and whether it may be edited."""
    paths = {}
    for where, may, *_ in rows("Under `.autoresearch/`"):
        for name in re.findall(r"`([^`]+)`", where):
            paths[name.replace("SLUG", SLUG).rstrip("/")] = "edit" in may
    return paths


@every("path, editable", below_home().items())
def test_a_file_is_edited_as_the_page_says(tmp_path: Path, path: str, editable: bool) -> None:
    host = project(tmp_path / "p")
    said = ask("edit", edit("Edit", host, file_path=str(host / ".autoresearch" / path)))
    assert said.code == (0 if editable else 2)


def test_the_page_names_one_file_that_may_be_edited() -> None:
    assert [path for path, editable in below_home().items() if editable] == [f"{SLUG}/train.py"]
    assert len(below_home()) > 15
    assert all("edit" not in may for _, may, *_ in rows("In the host project"))


def git_commands(word: str) -> list[str]:
    """The git commands that the page calls forbidden, or allowed."""
    cells = [commands for commands, why in rows("Git") if why.startswith(word)]
    return [command for cell in cells for command in re.findall(r"`(git [^`]+)`", cell)]


@every("command", git_commands("forbidden"))
def test_a_git_command_is_refused_as_the_page_says(tmp_path: Path, command: str) -> None:
    assert ask("edit", edit("Bash", project(tmp_path / "p"), command=command)).code == 2


@pytest.mark.parametrize("command", git_commands("allowed"))
def test_a_git_command_passes_as_the_page_says(tmp_path: Path, command: str) -> None:
    assert ask("edit", edit("Bash", project(tmp_path / "p"), command=command)).code == 0


def test_the_page_has_git_commands_of_both_kinds() -> None:
    assert len(git_commands("forbidden")) > 10
    assert len(git_commands("allowed")) > 5


def of_a_person() -> list[str]:
    """The arctl commands that the page calls a person's decisions."""
    section = PAGE.partition("\n## Processes and settings\n")[2].partition("they are a person's")[0]
    return re.findall(r"`(arctl [^`]+)`", section)


FORMS = ["{}", "cd /tmp; timeout 9 {} --expr 261122-lr", "bash -c '{}'"]


@every("form, command", product(FORMS, of_a_person()))
def test_what_a_person_decides_is_refused_as_the_page_says(tmp_path: Path, command: str, form: str) -> None:
    said = ask("edit", edit("Bash", project(tmp_path / "p"), command=form.format(command)))
    assert said.code == 2
    assert f"{command} is a decision of the person" in said.err


@pytest.mark.parametrize(
    "command",
    ["arctl seal", "arctl session show", "arctl chain", "arctl cancel --help", "arctl run --note 'clean up'"],
)
def test_what_looks_like_it_passes(tmp_path: Path, command: str) -> None:
    assert len(of_a_person()) == 7
    assert ask("edit", edit("Bash", project(tmp_path / "p"), command=command)).code == 0
