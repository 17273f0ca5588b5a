"""`arctl skill install --claude`: a plugin with hooks for one session, and rules that a person confirms."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from arctl.skill import jsonc
from tests.mcp.test_extra import WITHOUT_THE_SDK
from tests.support.guards import SLUG, edit, project
from tests.support.homes import Home
from tests.support.lab import Lab

RULES = ["Bash(arctl *)", "Edit(**/.autoresearch/*/train.py)"]
SERVER = "mcp__plugin_autoresearch_ardaemon__*"
# Without the MCP server, whose start takes most of the time.
INSTALL = ("install", "--claude", "--no-mcp")
SETTINGS = ".claude/settings.json"
MINE = """// my settings
{
  "model": "opus", // the large one
  "permissions": {
    "allow": [
      "Read" // everything
    ],
    "deny": ["Bash(rm *)"],
  },
  /* the key is in the vault */
  "hooks": {}
}
"""


@pytest.fixture
def home(lab: Lab) -> Home:
    return Home(lab)


def test_into_an_empty_home(home: Home) -> None:
    """A person agrees to the rules; a second installation changes nothing and asks nothing."""
    shown = home.typed("y\n", "install", "--claude")
    assert f"installed: {home.plugin}\n" in shown
    assert '+      "Bash(arctl *)",\n' in shown
    assert "Write this? [y/N]" in shown
    assert "passes over" not in shown
    assert home.json(SETTINGS) == {"permissions": {"allow": [*RULES, SERVER]}}
    assert home.json(".claude/skills/autoresearch/.claude-plugin/plugin.json")["name"] == "autoresearch"
    assert f"Claude Code, user: {home.plugin}: 0.1.0\n" in home.done("show")
    before = home.files()
    assert home.done("install", "--claude").splitlines()[:-1] == [f"up to date: {home.plugin}"]
    assert home.files() == before


def test_uninstall_leaves_nothing_of_it(home: Home) -> None:
    home.typed("y\n", *INSTALL)
    said = home.done("uninstall", "--claude")
    assert f"removed: {home.plugin}\n" in said
    left = [name for name in home.files() if not name.endswith("/") and "before-arctl" not in name]
    assert left == []
    assert not home.plugin.exists()
    assert home.done("uninstall", "--claude") == f"not installed: {home.plugin}\n"


def test_into_a_home_with_settings_and_comments(home: Home) -> None:
    """All that a person wrote stays, a backup is named, and uninstall takes out what was added alone."""
    path = home.write(SETTINGS, MINE)
    path.chmod(0o640)
    shown = home.typed("y\n", *INSTALL)
    text = path.read_text()
    assert jsonc.parse(text).value["permissions"] == {"allow": ["Read", *RULES], "deny": ["Bash(rm *)"]}
    assert [
        line for line in MINE.splitlines() if line.replace('"Read" ', '"Read", ') not in text.splitlines()
    ] == []
    assert path.stat().st_mode & 0o777 == 0o640
    assert "but Claude Code passes over a whole settings file that has comments" in shown
    backup = re.search(r"as it was: (\S+)", shown)
    assert backup is not None
    assert Path(backup[1]).read_text() == MINE
    home.done("uninstall", "--claude")
    assert jsonc.parse(path.read_text()).value == jsonc.parse(MINE).value
    assert all(comment in path.read_text() for comment in ("// my settings", "// everything", "/* the key"))


def test_a_key_beside_the_change_is_not_shown(home: Home) -> None:
    """An agent may call this command, and what it prints goes into the agent's context."""
    keys = '{\n  "apiKey": "sk-1",\n  "env": {"ANTHROPIC_AUTH_TOKEN": "sk-\\"2", "A": "b"}\n}\n'
    path = home.write(SETTINGS, keys)
    shown = home.typed("y\n", *INSTALL)
    assert "sk-" not in shown
    assert '   "apiKey": "…",\n' in shown
    assert '"A": "b"' in shown
    assert json.loads(path.read_text())["apiKey"] == "sk-1"


def test_an_arctl_that_no_shell_finds_is_told(home: Home) -> None:
    done = home.call(*INSTALL, PATH="/usr/bin:/bin")
    assert done.returncode == 0
    first, second = done.stderr.splitlines()
    assert first == "warning: arctl is not on PATH: an agent's shell would not find it"
    folder = subprocess.run(
        ["sh", "-c", f"{second.partition(': ')[2]}; command -v arctl"], capture_output=True, text=True
    )
    assert folder.stdout == f"{Path(sys.executable).parent}/arctl\n"


def test_an_empty_file_is_as_none(home: Home) -> None:
    path = home.write(SETTINGS, "\n")
    home.typed("y\n", *INSTALL)
    assert home.json(SETTINGS) == {"permissions": {"allow": RULES}}
    path.write_text("")
    home.done("uninstall", "--claude")
    assert path.read_text() == ""


def test_who_types_the_end_of_input_at_the_question_gets_nothing(home: Home) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "arctl", "skill", *INSTALL],
        env=home.environment,
        cwd=home.lab.project,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    )
    os.write(ours, b"\x04")
    process.communicate(timeout=60)
    for end in (ours, theirs):
        os.close(end)
    assert process.returncode == 130
    assert home.files() == {}


def test_a_home_of_odd_signs(home: Home, tmp_path: Path) -> None:
    """The hooks go through a shell, and through YAML."""
    odd = tmp_path / 'it\'s "$HOME" ü \\ #1'
    odd.mkdir()
    home.done(*INSTALL, HOME=str(odd))
    host = project(tmp_path / "p")
    for path, code in ((f".autoresearch/{SLUG}/train.py", 0), ("model.py", 2)):
        event = json.dumps(edit("Edit", host, file_path=str(host / path)))
        command = hooks(odd / ".claude/skills/autoresearch")["PreToolUse"]
        assert subprocess.run(["sh", "-c", command], input=event, text=True, timeout=60).returncode == code


def test_what_a_person_had_allowed_before_stays_allowed(home: Home) -> None:
    path = home.write(SETTINGS, '{"permissions": {"allow": ["Bash(arctl *)"]}}')
    home.typed("y\n", *INSTALL)
    assert json.loads(path.read_text())["permissions"]["allow"] == RULES
    home.done("uninstall", "--claude")
    assert json.loads(path.read_text()) == {"permissions": {"allow": ["Bash(arctl *)"]}}


@pytest.mark.parametrize("answers", ["n\n", "\n"])
def test_a_person_who_does_not_agree_gets_the_skill_alone(home: Home, answers: str) -> None:
    path = home.write(SETTINGS, MINE)
    shown = home.typed(answers, *INSTALL)
    assert path.read_text() == MINE
    assert (
        f"left as it is: {path}; a person can allow it at a terminal: arctl skill install --claude" in shown
    )
    assert (home.plugin / "skills/run/SKILL.md").exists()


@pytest.mark.parametrize("words", [(), ("--yes",)])
def test_without_a_person_no_rule_is_written(home: Home, words: tuple[str, ...]) -> None:
    said = home.done(*INSTALL, *words)
    assert "left as it is" in said
    assert not (home.path / SETTINGS).exists()
    assert "left as it is" in home.typed("y\n", *INSTALL, AR_NONINTERACTIVE="1")
    assert "left as it is" in home.typed("y\n", *INSTALL, CLAUDECODE="1")  # the agent's own terminal
    assert not (home.path / SETTINGS).exists()


def test_a_dry_run_shows_all_and_writes_nothing(home: Home) -> None:
    home.write(SETTINGS, MINE)
    before = home.files()
    said = home.done(*INSTALL, "--dry-run")
    assert '+      "Bash(arctl *)",\n' in said
    assert re.search(rf"would write \d+ files: {home.plugin}\n", said)
    assert home.files() == before


def test_a_sandbox_that_is_on_lets_arctl_through(home: Home) -> None:
    home.write(SETTINGS, '{"sandbox": {"enabled": true}}')
    home.typed("y\n", *INSTALL)
    assert home.json(SETTINGS)["sandbox"] == {"enabled": True, "excludedCommands": ["arctl *"]}
    home.done("uninstall", "--claude")
    assert home.json(SETTINGS) == {"sandbox": {"enabled": True}}


def test_the_mcp_server_is_the_plugins_or_a_persons(home: Home) -> None:
    """Never both: each would show the agent the same tools."""
    home.typed("y\n", "install", "--claude")
    server = home.json(".claude/skills/autoresearch/.mcp.json")["mcpServers"]["ardaemon"]
    assert server["command"].startswith("/")
    assert server["args"][0] == "mcp"
    home.write(".claude.json", '{"mcpServers": {"ardaemon": {"command": "arctl", "args": ["mcp"]}}}')
    home.typed("y\n", "install", "--claude")
    assert not (home.plugin / ".mcp.json").exists()
    assert "mcp__ardaemon__*" in home.json(SETTINGS)["permissions"]["allow"]


def test_without_the_sdk_there_is_no_server_and_the_mend_is_named(home: Home) -> None:
    """The program that is asked lies beside Python's: there it cannot import the SDK."""
    folder = home.lab.root / "without"
    folder.mkdir()
    program = folder / "arctl"
    program.write_text(f"#!{sys.executable}\n{WITHOUT_THE_SDK}\n")
    program.chmod(0o755)
    here = f"import sys; sys.executable = {str(folder / 'python')!r}"
    script = f"{here}; from arctl.__main__ import main; main()"
    done = home.run([sys.executable, "-c", script, "skill", "install", "--claude"])
    said = done.stdout
    assert (
        "Claude Code gets no MCP server, for arctl mcp does not start: Error: arctl mcp needs mcp>=" in said
    )
    assert not (home.plugin / ".mcp.json").exists()
    assert (home.plugin / "skills/run/SKILL.md").exists()


def test_into_a_project(home: Home) -> None:
    """The rules go where a person's own ones of a project are, not into the file that is shared."""
    shown = home.typed("y\n", *INSTALL, "--project")
    folder = home.lab.project / ".claude"
    assert f"installed: {folder}/skills/autoresearch\n" in shown
    assert "do not commit these files: they name paths of this machine\n" in shown
    assert json.loads((folder / "settings.local.json").read_text())["permissions"]["allow"] == RULES
    assert not (folder / "settings.json").exists()
    assert home.files() == {}
    assert f"Claude Code, project: {folder}/skills/autoresearch: 0.1.0\n" in home.done("show")


def test_another_folder_of_claudes_is_taken(home: Home) -> None:
    elsewhere = home.lab.root / "elsewhere"
    home.typed("y\n", *INSTALL, CLAUDE_CONFIG_DIR=str(elsewhere))
    assert (elsewhere / "skills/autoresearch/skills/run/SKILL.md").exists()
    assert (elsewhere / "settings.json").exists()
    assert home.files() == {}


def hooks(plugin: Path) -> dict[str, str]:
    """Event -> command, of the front matter that was generated."""
    text = (plugin / "skills/run/SKILL.md").read_text().partition("\n---\n")[0]
    events = re.findall(r"^  (\w+):$", text, re.MULTILINE)
    commands = re.findall(r"^          command: (.*)$", text, re.MULTILINE)
    return dict(zip(events, map(json.loads, commands), strict=True))


def test_the_hooks_are_those_of_the_session_that_runs_the_skill(home: Home, tmp_path: Path) -> None:
    """Nothing that another session reads registers one: so it edits freely, and stops."""
    home.typed("y\n", *INSTALL)
    assert hooks(home.plugin).keys() == {"PreToolUse", "SessionStart", "Stop"}
    others = {
        name: data for name, data in home.files().items() if not name.endswith(("skills/run/SKILL.md", ".py"))
    }
    assert [name for name, data in others.items() if b"guard.py edit" in data or b"PreToolUse" in data] == []
    assert "hooks" not in home.json(".claude/skills/autoresearch/.claude-plugin/plugin.json")
    assert not (home.plugin / "hooks/hooks.json").exists()
    assert "hooks" not in home.json(SETTINGS)


def test_the_hooks_work_as_they_are_registered(home: Home, tmp_path: Path) -> None:
    home.done(*INSTALL)
    host = project(tmp_path / "p")
    commands = hooks(home.plugin)

    def judged(path: str) -> int:
        event = json.dumps(edit("Edit", host, file_path=str(host / path)))
        return subprocess.run(
            ["sh", "-c", commands["PreToolUse"]], input=event, text=True, timeout=60
        ).returncode

    assert judged(f".autoresearch/{SLUG}/train.py") == 0
    assert judged("model.py") == 2
    (home.plugin / "hooks/guard.py").write_text("import os; os.kill(os.getpid(), 9)")
    assert judged(f".autoresearch/{SLUG}/train.py") == 2, "a guard that cannot judge refuses"
    (home.plugin / "hooks/guard.py").unlink()
    assert judged(f".autoresearch/{SLUG}/train.py") == 2
    for name in ("Stop", "SessionStart"):
        assert "exit 2" not in commands[name], "a guard that is broken holds no agent back"


def test_only_claude_gets_what_only_claude_reads(home: Home) -> None:
    home.done(*INSTALL)
    run = (home.plugin / "skills/run/SKILL.md").read_text()
    assert 'argument-hint: "[expr-slug]"\n' in run
    assert 'allowed-tools: "Read, Bash(arctl *), Edit, Grep, Glob, AskUserQuestion"\n' in run
