"""The skill that carries the loop: its form, and each of its commands, run."""

import json
from pathlib import Path

import pytest
from skills_ref import read_properties, validate

from ardaemon.core.version import VERSION
from tests.support import manual, spelled
from tests.support.lab import Lab
from tests.support.open_shell import OpenShell, play
from tests.support.skill_world import HOOKS, World

ROOT = Path(__file__).parents[2] / "skill"
RUN = ROOT / "skills" / "run"
SKILLS = sorted(path.parent for path in ROOT.glob("skills/*/SKILL.md"))
PAGES = sorted(ROOT.glob("skills/**/*.md"))
MINE = [RUN / "SKILL.md", *(RUN / "references" / name for name in HOOKS if name != "SKILL.md")]
LINES_MAX = 200
# Claude puts back so much of a skill after a compaction; a token of English text and code is over 3 bytes.
TOKENS_KEPT = 5000
BYTES_A_TOKEN = 3
DESCRIPTION_MAX = 1024  # of the Agent Skills specification
PHRASES = (
    "start the autoresearch loop",
    "kick off overnight iteration",
    "begin autonomous experiment runs",
    "run /autoresearch:run",
    "run the autoresearch expr <slug>",
    "continue the autoresearch loop",
    "resume autoresearch",
    "chain through follow-up experiments",
)


def name_of(path: Path) -> str:
    """A test's name for a file of the skill."""
    return path.relative_to(ROOT).as_posix()


def test_the_plugin_is_named_as_its_commands_begin_and_has_the_version_of_ardaemon() -> None:
    """`/autoresearch:run` is the plugin's name and the skill's."""
    manifest = json.loads((ROOT / ".claude-plugin" / "plugin.json").read_text())
    assert (manifest["name"], manifest["version"]) == ("autoresearch", VERSION)


def test_the_plugin_starts_the_mcp_server_by_the_command_on_the_path() -> None:
    """No path of one machine stands in it."""
    servers = json.loads((ROOT / ".mcp.json").read_text())["mcpServers"]
    assert servers == {"ardaemon": {"command": "arctl", "args": ["mcp", "--wait-max", "86000"]}}


@pytest.mark.parametrize("folder", SKILLS, ids=name_of)
def test_a_skill_is_valid_by_the_agent_skills_specification(folder: Path) -> None:
    """Its front matter has that specification's fields alone."""
    assert validate(folder) == []


@pytest.mark.parametrize("phrase", PHRASES)
def test_the_description_has_each_phrase_that_a_person_says(phrase: str) -> None:
    """An agent chooses a skill by its description."""
    description = read_properties(RUN).description
    assert phrase in description
    assert phrase in (RUN / "SKILL.md").read_text()  # on one line: who searches for it finds it
    assert len(description) <= DESCRIPTION_MAX


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_at_most_200_lines(page: Path) -> None:
    """So that one read shows all of it."""
    assert len(page.read_text().splitlines()) <= LINES_MAX


def test_the_whole_skill_survives_a_compaction() -> None:
    """All rules and steps stand in what an agent gets back."""
    assert len((RUN / "SKILL.md").read_bytes()) <= TOKENS_KEPT * BYTES_A_TOKEN


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_command_in_a_sentence_is_one_of_arctl(page: Path) -> None:
    """The command, its options and its values are spelled as arctl takes them."""
    commands = [(line, code) for line, code in manual.inline(page) if code.startswith("arctl ")]
    wrong = [
        f"{page.name}:{line}: {code}: {fault}" for line, code in commands for fault in spelled.faults(code)
    ]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_file_that_a_page_names_is_there(page: Path) -> None:
    """A reference is named by its path from the skill's folder."""
    skill = next(folder for folder in page.parents if folder.parent.name == "skills")
    named = {code for _, code in manual.inline(page) if code.startswith("references/")}
    assert [name for name in sorted(named) if not (skill / name).is_file()] == []


@pytest.mark.parametrize("page", MINE, ids=name_of)
def test_each_command_of_a_page_prints_what_the_page_shows(page: Path, lab: Lab) -> None:
    """All of them, from top to bottom, in one project."""
    lab.start()
    world = World(lab)
    shell = OpenShell(lab.environment, lab.project)
    try:
        assert play(page, shell, world.train, HOOKS[page.name](world), world.as_run) > 0
    finally:
        world.shell.release()
        shell.close()
