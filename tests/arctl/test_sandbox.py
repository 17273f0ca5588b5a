"""In an agent's sandbox each command names the setting that lets it through, and exits with 69.

The filters are real ones (tests/support/sandbox.py).
"""

import errno
import json
import re
import sys
from pathlib import Path

import pytest

from arctl import cli, sandbox
from tests.support.agent_shell import AgentShell, needs_bwrap
from tests.support.lab import SLUG, Lab
from tests.support.sandbox import SANDBOXES
from tests.support.seccomp import Refused, install

INIT = "--train /etc/hostname --primary-metric acc --primary-direction max --goal g"
WHY = "The plateau is reached, and the schedule is the next thing to try."
CHILD = f"--from-expr 261122-a --new-slug 261123-b --goal g --rationale '{WHY}'"
# A call of each command that speaks to the daemon.
ASKING = (
    *(
        f"init {SLUG} {INIT}",
        f"chain-init {CHILD}",
        "chain",
        "chain stop",
        "queue",
        "queue hold r0001",
        "gpus",
    ),
    *(
        "session start --seconds 5",
        "session set --plateau 3",
        "session stop",
        "session show",
        "seal",
        "clean",
    ),
    *(
        "run",
        "run --wait",
        "run --wait --exit-zero",
        "wait",
        "wait --any",
        "status",
        "list",
        "archive",
        "result",
        "rerun",
        "noise",
        "compare 1 2",
        "prune --keep-logs 1",
        "tail",
    ),
    *(
        "tail --follow",
        "watch",
        "cancel",
        "restore",
        "diff",
        "report",
        "report --html -o page.html",
        "history --best 3",
    ),
    *("adopt", "events", "metrics", "queue pause", "queue resume", "queue drain"),
    *("daemon start", "daemon stop", "daemon restart", "daemon status"),
)
# The first two have tests of their own; config and skill read files; no agent may call audit at all.
OTHERS = {"doctor", "mcp", "config", "skill", "audit"}


@pytest.fixture
def shell(lab: Lab) -> AgentShell:
    return AgentShell(lab)


def test_no_command_is_missing_here() -> None:
    assert {call.split()[0] for call in ASKING} | OTHERS == set(cli.COMMANDS)


@pytest.mark.parametrize(
    ("kind", "namespace"), [("claude", False), pytest.param("codex", True, marks=needs_bwrap)]
)
def test_every_command_says_so_in_two_lines_and_leaves_nothing(
    shell: AgentShell, kind: str, namespace: bool
) -> None:
    """Which setting of this very agent lets it through; no traceback, no daemon, no file."""
    command = (sys.executable, "-m", "tests.support.in_turn", *ASKING)
    done = shell.sandboxed(kind, *command, namespace=namespace)
    agent = {"claude": "Claude Code", "codex": "Codex"}[kind]
    error = f"Error: {agent}'s sandbox refuses Unix sockets ("
    mends = {agent.name: agent.mend for agent in sandbox.AGENTS}
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ended) == len(ASKING), done
    for call, (code, out, err) in zip(ASKING, ended, strict=True):
        what, mend = err.splitlines()
        assert (code, out, what[: len(error)], mend) == (69, "", error, f"→ {mends[agent]}"), call
    assert not any(shell.lab.state_home.iterdir())
    assert not any(shell.lab.project.iterdir())


@pytest.mark.parametrize(
    ("kind", "who"),
    [
        ("codex-proxy", "Codex's sandbox refuses Unix sockets (socket()"),
        ("cursor", "Cursor's sandbox refuses Unix sockets (connect()"),
        ("unknown", "a sandbox around this command (seccomp) refuses Unix sockets (socket()"),
        ("unknown-network", "a sandbox around this command (seccomp) refuses Unix sockets (connect()"),
    ],
)
def test_each_kind_of_sandbox_is_named(shell: AgentShell, kind: str, who: str) -> None:
    done = shell.sandboxed(kind, "arctl", "status")
    assert (done.returncode, len(done.stderr.splitlines())) == (69, 2)
    assert done.stderr.startswith(f"Error: {who}")


def test_with_json_the_error_is_an_object_and_doctor_reports_a_check(shell: AgentShell) -> None:
    """A program reads which agent it is, and what to do."""
    error = json.loads(shell.sandboxed("codex", "arctl", "queue", "--json").stderr)["error"]
    assert (error["data"]["kind"], error["data"]["agent"]) == ("Sandboxed", "Codex")
    assert "prefix_rule(" in error["data"]["mend"]
    done = shell.sandboxed("claude", "arctl", "doctor", "--json")
    (check,) = [check for check in json.loads(done.stdout)["checks"] if check["level"] == "FAIL"]
    assert (done.returncode, check["name"], done.stderr) == (69, "sandbox", "")
    assert "excludedCommands" in check["mend"]


def test_the_mcp_server_does_not_hang_where_no_event_loop_can_work(shell: AgentShell) -> None:
    """Codex's filter refuses what wakes one. Agents start the server outside; an agent's shell may try it."""
    done = shell.sandboxed("codex", "arctl", "mcp")
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("Error: Codex's sandbox refuses Unix sockets (connect()")


def test_a_daemon_that_runs_outside_is_not_reached_and_goes_on(shell: AgentShell) -> None:
    shell.lab.ready()
    done = shell.sandboxed("codex", "arctl", "daemon", "stop")
    assert (done.returncode, "Codex's sandbox" in done.stderr) == (69, True)
    assert shell.sandboxed("claude", "arctl", "run").returncode == 69
    assert shell.lab.call("daemon.info")["active"] == 0
    assert not (shell.lab.folder / "runs" / "r0001").exists()


# --- the settings that are named let arctl through ---


def mend(shell: AgentShell, kind: str) -> str:
    return shell.sandboxed(kind, "arctl", "queue").stderr.splitlines()[1]


def allows(shell: AgentShell, kind: str, file: str, setting: str) -> None:
    """The setting, in the file, lets a plain command through; a daemon serves outside."""
    shell.lab.start()
    path = shell.lab.root / "h" / file
    path.parent.mkdir(parents=True)
    assert shell.sandboxed(kind, "arctl", "queue", namespace=True).returncode == 69
    path.write_text(setting)
    done = shell.sandboxed(kind, "arctl", "queue", namespace=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert shell.sandboxed(kind, "sh", "-c", "arctl daemon status", namespace=True).returncode == 0


@needs_bwrap
@pytest.mark.parametrize("which", [0, 1], ids=["this command", "every program"])
def test_the_settings_that_are_named_for_claude_code_let_arctl_through(shell: AgentShell, which: int) -> None:
    """Each is JSON that can be copied."""
    named = re.findall(r"(\{.*?\})(?:; or|$)", mend(shell, "claude"))
    assert "~/.claude/settings.json" in mend(shell, "claude")
    assert all(json.loads(setting) for setting in named)
    assert len(named) == 2
    allows(shell, "claude", ".claude/settings.json", named[which])


@needs_bwrap
@pytest.mark.parametrize("file", [".codex/rules/default.rules", ".codex/config.toml"])
def test_the_settings_that_are_named_for_codex_let_arctl_through(shell: AgentShell, file: str) -> None:
    """A line that can be copied, or a table of the configuration and its line."""
    text = mend(shell, "codex")
    assert f"~/{file}" in text
    if file.endswith("rules"):
        setting = text[text.index("prefix_rule(") : text.index(")", text.index("prefix_rule(")) + 1]
    else:
        setting = "{1}\n{0}\n".format(*re.search(r"(network_access = true) under (\[\w+\])", text).groups())  # type: ignore[union-attr]
    allows(shell, "codex", file, setting)


# --- and nothing else is taken for a sandbox ---


def test_the_variables_alone_say_nothing(shell: AgentShell) -> None:
    """Without EPERM everything is as ever: an agent whose sandbox is off, or lets arctl through."""
    marks = {name: value for kind in SANDBOXES.values() for name, value in kind.variables.items()}
    done = shell.run("arctl", "queue", variables=marks)
    assert (done.returncode, done.stderr) == (0, "")
    shell.run("arctl", "daemon", "stop")


@pytest.mark.parametrize("call", ["socket", "connect"])
def test_another_error_is_told_as_before(shell: AgentShell, call: str) -> None:
    """EACCES is a matter of rights, also in an agent's shell."""
    done = shell.run(
        *("arctl", "queue"),
        variables={"CLAUDECODE": "1"},
        preexec_fn=lambda: install([Refused(call, error=errno.EACCES)]),
    )
    path = shell.lab.runtime / "ardaemon" / "control.sock"
    assert done.returncode == 69
    assert done.stderr == f"Error: cannot connect to {path}: Permission denied\n→ arctl doctor\n"


# --- the words ---


def test_the_page_about_agents_shows_what_is_said(shell: AgentShell) -> None:
    page = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
    done = shell.sandboxed("codex", "arctl", "status", "--compact")
    assert f"$ arctl status --compact\n{done.stderr}```" in page


@pytest.mark.parametrize(
    ("variables", "call", "name"),
    [
        ({"CLAUDECODE": "1"}, "socket", "Claude Code"),
        ({"CODEX_SANDBOX_NETWORK_DISABLED": "1"}, "connect", "Codex"),
        ({"CODEX_SANDBOX_NETWORK_DISABLED": "1"}, "socket", "Codex"),
        ({"CODEX_SANDBOX_NETWORK_DISABLED": "0", "CLAUDECODE": ""}, "socket", None),
        # Codex that was started from the shell of Claude Code, and the other way round.
        ({"CLAUDECODE": "1", "CODEX_SANDBOX_NETWORK_DISABLED": "1"}, "connect", "Codex"),
        ({"CLAUDECODE": "1", "CODEX_SANDBOX_NETWORK_DISABLED": "1"}, "socket", "Claude Code"),
        ({}, "connect", None),
    ],
)
def test_variables_and_the_refused_call_name_the_agent(
    variables: dict[str, str], call: str, name: str | None
) -> None:
    agent = sandbox.agent_of(variables, call)
    assert (agent.name if agent is not None else None) == name


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"Seccomp": "2", "NoNewPrivs": "1"}, "a sandbox around this command (seccomp)"),
        ({"Seccomp": "2", "NoNewPrivs": "0"}, "a seccomp filter, of a sandbox or of a container,"),
        ({"Seccomp": "0", "NoNewPrivs": "0"}, "a security module of this machine (no seccomp filter is on)"),
        ({}, "a security module of this machine (no seccomp filter is on)"),
    ],
)
def test_the_state_of_the_process_names_what_no_variable_names(status: dict[str, str], words: str) -> None:
    assert sandbox.unknown(status) == words


def test_the_folder_of_the_settings_is_where_the_agents_variable_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its settings would have no effect in the usual one."""
    _, codex, cursor = sandbox.AGENTS
    monkeypatch.setenv("CODEX_HOME", "/srv/codex")
    assert "/srv/codex/rules/default.rules" in codex.mend_here()
    assert "/srv/codex/config.toml" in codex.mend_here()
    assert cursor.mend_here() == cursor.mend
    monkeypatch.setenv("CODEX_HOME", "")
    assert codex.mend_here() == codex.mend
