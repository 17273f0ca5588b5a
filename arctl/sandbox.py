"""The words for a refused system call: whose sandbox this is, and which of its settings lets arctl through.

EPERM from socket() or connect() decides that there is a sandbox: a missing right of the socket's file is
EACCES, a missing daemon ENOENT or ECONNREFUSED (unix(7)). Variables of agents and the state of this process
(proc(5)) choose the words alone. What widens a sandbox is a person's decision: nothing here goes around one.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from ardaemon.core.errors import DaemonUnavailable
from ardaemon.core.places import named

STATUS = "/proc/self/status"
FILTERED = "2"  # `Seccomp:` of a process with a filter
CODEX_RULE = 'prefix_rule(pattern=["arctl"], decision="allow")'


class Sandboxed(DaemonUnavailable):
    """The kernel refuses a system call by which the daemon would be reached."""


class Agent(NamedTuple):
    """An agent whose commands run in a sandbox."""

    name: str
    marks: tuple[str, ...]  # any of these variables says that a command is this agent's
    call: str  # what its sandbox refuses by default
    mend: str  # the setting that lets arctl through
    folder: str = ""  # of its settings, as `mend` has it
    moved_by: str = ""  # the variable that names another folder

    def mend_here(self) -> str:
        """Return `mend` with the folder in which this user's settings are."""
        moved = named(self.moved_by)
        return self.mend.replace(self.folder, moved) if moved else self.mend


AGENTS = (
    Agent(
        "Claude Code",
        ("CLAUDECODE",),
        "socket",
        'a person may allow it in ~/.claude/settings.json: {"sandbox": {"excludedCommands": ["arctl *"]},'
        ' "permissions": {"allow": ["Bash(arctl *)"]}}; or, for every program:'
        ' {"sandbox": {"network": {"allowAllUnixSockets": true}}}',
        "~/.claude",
        "CLAUDE_CONFIG_DIR",
    ),
    Agent(
        "Codex",
        ("CODEX_SANDBOX_NETWORK_DISABLED", "CODEX_SANDBOX"),
        "connect",
        f"a person may allow it in ~/.codex/rules/default.rules: {CODEX_RULE}, for plain commands,"
        " without redirection or variables; or, for every program, in"
        " ~/.codex/config.toml: network_access = true under [sandbox_workspace_write]",
        "~/.codex",
        "CODEX_HOME",
    ),
    Agent(
        "Cursor",
        ("CURSOR_AGENT",),
        "connect",
        "a person may allow it: arctl in the command allow-list of Cursor's settings; or, for every program,"
        ' in .cursor/sandbox.json: {"type": "insecure_none"}',
    ),
)


def sandboxed(call: str, path: str) -> Sandboxed:
    """Make the error for EPERM from `call` (socket or connect), on the way to the socket at `path`."""
    agent = agent_of(os.environ, call)
    mend = (
        f"let arctl use Unix sockets there ({path}), or run it outside"
        if agent is None
        else agent.mend_here()
    )
    return Sandboxed(
        f"{name_of(agent)} refuses Unix sockets ({call}(): Operation not permitted),"
        " so arctl cannot reach its daemon",
        mend,
        {"call": call, "agent": agent.name if agent is not None else None},
    )


def name_of(agent: Agent | None) -> str:
    """Name the sandbox of an agent; by the state of this process where no variable names one."""
    return unknown(_status()) if agent is None else f"{agent.name}'s sandbox"


def agent_of(environment: Mapping[str, str], call: str) -> Agent | None:
    """Return the agent whose command this is.

    One agent may have been started from another's shell, and its commands bear the marks of both: then the
    call that was refused tells.
    """
    marked = [agent for agent in AGENTS if any(_is_set(environment, mark) for mark in agent.marks)]
    return next((agent for agent in marked if agent.call == call), marked[0] if marked else None)


def _is_set(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "0") not in ("", "0")


def unknown(status: Mapping[str, str]) -> str:
    """Name a sandbox that no variable names, by the fields of /proc/self/status."""
    if status.get("Seccomp") != FILTERED:
        return "a security module of this machine (no seccomp filter is on)"
    if status.get("NoNewPrivs") == "1":
        return "a sandbox around this command (seccomp)"
    return "a seccomp filter, of a sandbox or of a container,"


def _status() -> dict[str, str]:
    """Read the fields of /proc/self/status; {} where there is no /proc."""
    try:
        with open(STATUS, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
