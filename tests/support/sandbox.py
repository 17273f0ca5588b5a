"""An agent's sandbox, emulated: `python -m tests.support.sandbox codex -- arctl status`.

The command runs under a real seccomp filter, with the variables that this agent gives to its commands. The
agent's settings are honoured as the agent does: a command that they let out of the sandbox runs without the
filter. They are read from HOME, in the files that the agent reads.

With --namespace a sandboxed command also has a PID namespace of its own, made by bwrap, as agents do it.
"""

import argparse
import ast
import json
import os
import re
import shlex
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.seccomp import AF_UNIX, Refused, install

# What a plain command may not have in it: redirection, pipes, variables, several commands.
NOT_PLAIN = re.compile(r"[;&|<>$`()\n*?]")
SHELLS = ("sh", "bash")
BWRAP = "bwrap --dev-bind / / --unshare-pid --proc /proc --die-with-parent --".split()
_LABS = tempfile.gettempdir()  # it may lie in /dev
_SEEN = f"--ro-bind / / --dev /dev --ro-bind {_LABS} {_LABS}"
READ_ONLY = f"bwrap {_SEEN} --unshare-pid --proc /proc --die-with-parent --".split()


class Way(NamedTuple):
    """How a command is run."""

    sandboxed: bool  # in the agent's namespaces, if any
    filtered: bool  # without Unix sockets


SANDBOXED, OPEN, OUTSIDE = Way(True, True), Way(True, False), Way(False, False)


class Sandbox(NamedTuple):
    """What an agent's sandbox refuses, its variables, and how its settings are read."""

    refused: tuple[Refused, ...]
    variables: dict[str, str]
    way: Callable[[Path, list[str]], Way]


def claude(home: Path, command: list[str]) -> Way:
    """~/.claude/settings.json: excludedCommands are patterns for the whole line."""
    sandbox = _json(home / ".claude" / "settings.json").get("sandbox", {})
    line = command[-1] if _line(command) else shlex.join(command)
    if any(_fits(pattern, line) for pattern in sandbox.get("excludedCommands", [])):
        return OUTSIDE
    return OPEN if sandbox.get("network", {}).get("allowAllUnixSockets") is True else SANDBOXED


def codex(home: Path, command: list[str]) -> Way:
    """Rules for plain commands in ~/.codex/rules/default.rules, and the network in ~/.codex/config.toml."""
    words = shlex.split(command[-1]) if _line(command) else command
    plain = not (_line(command) and NOT_PLAIN.search(command[-1])) and "=" not in words[0]
    rules = _rules(home / ".codex" / "rules" / "default.rules")
    if plain and any(words[: len(rule)] == rule for rule in rules):
        return OUTSIDE
    config = home / ".codex" / "config.toml"
    settings = tomllib.loads(config.read_text()) if config.exists() else {}
    network = settings.get("sandbox_workspace_write", {}).get("network_access")
    return OPEN if network is True else SANDBOXED


def strict(home: Path, command: list[str]) -> Way:
    """A sandbox without settings."""
    return SANDBOXED


UNIX = (Refused("socket", AF_UNIX),)
NETWORK = tuple(map(Refused, "connect bind listen accept accept4 sendto getsockopt setsockopt".split()))
CLAUDE = {"CLAUDECODE": "1", "CLAUDE_CODE_CHILD_SESSION": "1"}
CODEX = {"CODEX_SANDBOX_NETWORK_DISABLED": "1"}
SANDBOXES = {
    "claude": Sandbox(UNIX, CLAUDE, claude),
    "codex": Sandbox(NETWORK, CODEX, codex),
    "codex-proxy": Sandbox(UNIX, CODEX, codex),
    "cursor": Sandbox(NETWORK, {"CURSOR_AGENT": "1"}, strict),
    "unknown": Sandbox(UNIX, {}, strict),
    "unknown-network": Sandbox(NETWORK, {}, strict),
}
MARKS = sorted({name for sandbox in SANDBOXES.values() for name in sandbox.variables})


def _line(command: list[str]) -> bool:
    """Is this `sh -c LINE`, as an agent runs a line?"""
    return len(command) == 3 and Path(command[0]).name in SHELLS and command[1] in ("-c", "-lc")


def _fits(pattern: str, line: str) -> bool:
    """`arctl *` is arctl with any arguments, or none."""
    return (
        line == pattern.removesuffix(" *")
        or re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), line, re.DOTALL) is not None
    )


def _json(path: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return settings


def _rules(path: Path) -> list[list[str]]:
    """The patterns that are allowed; a rule is written as a call."""
    found = []
    for node in ast.walk(ast.parse(path.read_text() if path.exists() else "")):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "prefix_rule":
            rule = {word.arg: ast.literal_eval(word.value) for word in node.keywords}
            found += [list(rule["pattern"])] if rule["decision"] == "allow" else []
    return found


def main() -> None:
    """Replace this process by the command, in the sandbox or outside."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.sandbox")
    parser.add_argument("kind", choices=sorted(SANDBOXES))
    parser.add_argument("--namespace", action="store_true")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    sandbox = SANDBOXES[given.kind]
    kept = {name: value for name, value in os.environ.items() if name not in MARKS}
    variables = {**kept, **sandbox.variables}
    way = sandbox.way(Path(os.environ["HOME"]), given.command)
    command = given.command
    if way.sandboxed and given.namespace:
        # The filter comes afterwards, as in the agents: bwrap itself needs what is refused.
        command = [*BWRAP, sys.executable, "-m", "tests.support.sandbox", given.kind, "--", *command]
    elif way.filtered:
        install(sandbox.refused)
    os.execvpe(command[0], command, variables)


if __name__ == "__main__":
    main()
