"""`arctl skill install --codex` and `--path`: portable skills, an MCP server, a rule of the sandbox."""

import os
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from skills_ref import validate

from arctl.skill import codex, folder
from ardaemon.core.denied import DENIED_ENVIRONMENT
from tests.support.homes import Home
from tests.support.imports import ROOT
from tests.support.lab import Lab

CONFIG, RULES = ".codex/config.toml", ".codex/rules/default.rules"
MINE = '# mine\nmodel = "gpt"  # the large one\n\n[mcp_servers.other]\ncommand = "other"\n'
PARTS = folder.skills(folder.contents(str(ROOT / "skill")))


@pytest.fixture
def home(lab: Lab) -> Home:
    return Home(lab)


def config(home: Home) -> dict[str, Any]:
    return tomllib.loads((home.path / CONFIG).read_text())


def test_into_an_empty_home(home: Home) -> None:
    """The server may be waited for, its tools are called without a question, and arctl leaves the sandbox."""
    shown = home.typed("y\ny\n", "install", "--codex")
    server = config(home)["mcp_servers"]["ardaemon"]
    assert os.access(server["command"], os.X_OK)
    assert (server["args"], server["tool_timeout_sec"]) == (["mcp", "--wait-max", "86000"], 86400)
    assert server["default_tools_approval_mode"] == "approve"
    assert {"XDG_RUNTIME_DIR", "CUDA_VISIBLE_DEVICES"} <= set(server["env_vars"])
    assert "cwd" not in server, "Codex starts it in the folder of its session"
    assert (home.path / RULES).read_text() == 'prefix_rule(pattern=["arctl"], decision="allow")\n'
    assert shown.count("Write this? [y/N]") == 2
    before = home.files()
    assert home.done("install", "--codex").count("up to date: ") == len(PARTS)
    assert home.files() == before


def test_a_rule_that_a_person_has_switched_off_is_none(home: Home) -> None:
    """It stands in a comment; the rule that is added is no part of it."""
    off = '# prefix_rule(pattern=["arctl"], decision="allow")\n'
    home.write(RULES, off)
    home.typed("y\ny\n", "install", "--codex")
    assert (home.path / RULES).read_text() == off + off.removeprefix("# ")


def test_uninstall_gives_every_file_back_as_it_was(home: Home) -> None:
    home.write(CONFIG, MINE)
    home.write(RULES, "# mine, without an end of line")
    home.typed("y\ny\n", "install", "--codex")
    assert (home.path / CONFIG).read_text().startswith(MINE)
    assert config(home)["mcp_servers"].keys() == {"other", "ardaemon"}
    home.done("uninstall", "--codex")
    assert (home.path / CONFIG).read_text() == MINE
    assert (home.path / RULES).read_text() == "# mine, without an end of line"
    assert not home.portable.exists()


def test_without_a_person_nothing_is_written_that_lets_the_agent_do_more(home: Home) -> None:
    home.done("install", "--codex")
    assert not (home.path / ".codex").exists()
    said = home.done("install", "--codex", "--yes")
    assert "default_tools_approval_mode" not in config(home)["mcp_servers"]["ardaemon"]
    assert not (home.path / RULES).exists()
    assert f"left as it is: {home.path / RULES}" in said
    home.typed("y\ny\n", "install", "--codex")
    assert config(home)["mcp_servers"]["ardaemon"]["default_tools_approval_mode"] == "approve"
    home.done("uninstall", "--codex")
    assert [
        name for name in home.files() if name.startswith((CONFIG, RULES)) and "before-arctl" not in name
    ] == []


def test_what_a_person_has_approved_stays_so_in_an_upgrade_by_a_script(home: Home) -> None:
    home.typed("y\ny\n", "install", "--codex")
    for path in (home.path / CONFIG, home.portable / ".ardaemon.json"):
        path.write_text(path.read_text().replace("86400", "60"))
    home.done("install", "--codex", "--yes")
    server = config(home)["mcp_servers"]["ardaemon"]
    assert (server["tool_timeout_sec"], server["default_tools_approval_mode"]) == (86400, "approve")


def test_a_server_that_a_person_has_set_up_stays_as_it_is(home: Home) -> None:
    path = home.write(CONFIG, MINE + '[mcp_servers.ardaemon]\ncommand = "arctl"\n')
    before = path.read_text()
    home.typed("y\n", "install", "--codex")
    assert path.read_text() == before
    home.done("uninstall", "--codex")
    assert path.read_text() == before


def test_a_form_to_which_nothing_can_be_added_is_refused(home: Home) -> None:
    home.write(CONFIG, 'mcp_servers = {other = {command = "x"}}\n')
    said = home.refused("install", "--codex")
    assert "add to it by hand:\n" in said
    assert "[mcp_servers.ardaemon]" in said


def test_an_older_entry_of_ours_is_replaced(home: Home) -> None:
    home.write(CONFIG, MINE)
    home.typed("y\ny\n", "install", "--codex")
    for path in (home.path / CONFIG, home.portable / ".ardaemon.json"):
        path.write_text(path.read_text().replace("86400", "60"))
    path = home.path / CONFIG
    path.write_text(path.read_text() + '\n[mcp_servers.later]\ncommand = "y"\n')
    home.typed("y\n", "install", "--codex")
    servers = config(home)["mcp_servers"]
    assert (servers.keys(), servers["ardaemon"]["tool_timeout_sec"]) == (
        {"other", "ardaemon", "later"},
        86400,
    )
    home.done("uninstall", "--codex")
    assert config(home)["mcp_servers"].keys() == {"other", "later"}


def test_into_a_project_the_server_starts_there(home: Home) -> None:
    home.typed("y\ny\n", "install", "--codex", "--project")
    text = (home.lab.project / CONFIG).read_text()
    assert tomllib.loads(text)["mcp_servers"]["ardaemon"]["cwd"] == str(home.lab.project)
    assert (home.lab.project / ".agents/skills/autoresearch-run/SKILL.md").exists()
    assert home.files() == {}


def test_codexs_own_folder_is_taken(home: Home) -> None:
    elsewhere = home.lab.root / "elsewhere"
    home.typed("y\n", "install", "--codex", "--no-mcp", CODEX_HOME=str(elsewhere))
    assert (elsewhere / "rules/default.rules").exists()


@pytest.mark.parametrize("words", [("--codex", "--no-mcp"), ("--path", "skills")])
def test_the_portable_skills_are_valid_under_their_own_names(home: Home, words: tuple[str, ...]) -> None:
    """By the specification's validator; with their references, without what Claude Code alone reads."""
    home.done("install", *words)
    above = home.path / ".agents/skills" if words[0] == "--codex" else home.lab.project / "skills"
    for part in PARTS:
        installed = above / f"autoresearch-{part}"
        assert validate(installed) == []
        text = (installed / "SKILL.md").read_text()
        assert re.search(rf"^name: autoresearch-{part}$", text, re.MULTILINE)
        assert "allowed-tools" not in text.partition("\n---\n")[0]
        source = ROOT / "skill/skills" / part
        assert {p.name for p in (source / "references").iterdir()} == {
            p.name for p in (installed / "references").iterdir()
        }


def test_another_agents_folder_gets_the_skills_alone(home: Home) -> None:
    there = home.lab.root / "there"
    said = home.done("install", "--path", str(there))
    assert f"installed: {there}/autoresearch-run\n" in said
    assert home.files() == {}
    home.done("uninstall", "--path", str(there))
    assert list(there.iterdir()) == []


def test_several_agents_at_once(home: Home) -> None:
    home.done("install", "--claude", "--codex", "--no-mcp", "--path", "x")
    assert home.plugin.exists()
    assert home.portable.exists()
    assert (home.lab.project / "x/autoresearch-run").exists()


def test_no_credential_of_an_agent_is_handed_to_the_server() -> None:
    denied = [name for name in codex.VARIABLES if any(fnmatchcase(name, one) for one in DENIED_ENVIRONMENT)]
    assert denied == []


def test_a_path_of_odd_signs_stays_what_it_is(tmp_path: Path) -> None:
    odd = f"{tmp_path}/ü \"x\" \\ 'y'\x7f"
    assert tomllib.loads(codex.entry(odd, odd, True))["mcp_servers"]["ardaemon"]["command"] == odd
