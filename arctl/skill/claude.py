"""What Claude Code needs beside the plugin: rules in its settings, so that a night has no question."""

import json
import os

from msgspec import structs

from arctl.skill import jsonc, settings
from arctl.skill.places import PLUGIN, claude_home
from arctl.skill.settings import Change
from arctl.skill.tree import SERVER, SERVERS
from ardaemon.core import file_kinds, files, places

COMMANDS = "arctl *"
EDIT = "Edit(**/.autoresearch/*/train.py)"  # below the folder that the session was started in
# Seen with Claude Code 2.1.197, which says nothing of it.
PASSED_OVER = (
    "but Claude Code passes over a whole settings file that has comments or a comma too many, as this one"
)
WHY = "Claude Code calls arctl, and edits train.py, without a question each time"


def has_server(project: str | None) -> bool:
    """Return whether a person has added the MCP server to Claude Code: then the plugin brings none."""
    own = os.path.join(places.named("CLAUDE_CONFIG_DIR") or places.home(), ".claude.json")
    facts = _facts(own)
    found = [facts, _below(_below(facts, "projects"), project or "")]
    if project is not None:
        found.append(_facts(os.path.join(project, SERVERS)))
    return any(SERVER in _below(one, "mcpServers") for one in found)


def _facts(file: str) -> dict[str, object]:
    """Return what a file of Claude Code's says; nothing where it cannot be read, which is its own matter."""
    try:
        value = _value(files.read(file, file_kinds.EDIT).decode())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _value(text: str) -> object:
    """Return the value of a text: Claude Code's own file has megabytes, and no comments."""
    try:
        return json.loads(text)
    except ValueError:
        return jsonc.parse(text).value


def _below(facts: dict[str, object], name: str) -> dict[str, object]:
    value = facts.get(name)
    return value if isinstance(value, dict) else {}


def change(project: str | None, server: bool, own_server: bool) -> Change | None:
    """Plan the rules; `server`: there is an MCP server, `own_server`: it is a person's entry."""
    file = settings_file(project)
    wanted = [(("permissions", "allow"), f"Bash({COMMANDS})"), (("permissions", "allow"), EDIT)]
    if server or own_server:
        name = SERVER if own_server else f"plugin_{PLUGIN}_{SERVER}"
        wanted.append((("permissions", "allow"), f"mcp__{name}__*"))
    if _is_sandboxed(project):
        wanted.append((("sandbox", "excludedCommands"), COMMANDS))
    planned = settings.with_items(file, WHY, wanted)
    if planned is None or _is_strict(planned.after or ""):
        return planned
    return structs.replace(planned, why=f"{WHY}; {PASSED_OVER}")


def _is_strict(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def settings_file(project: str | None) -> str:
    """Return the file for a person's rules; that of a project which is not shared with others."""
    return os.path.join(claude_home(project), "settings.json" if project is None else "settings.local.json")


def _is_sandboxed(project: str | None) -> bool:
    """Return whether a person has switched the sandbox of Claude Code's shell on."""
    homes = dict.fromkeys([claude_home(None), *([claude_home(project)] if project else [])])
    names = [os.path.join(home, name) for home in homes for name in ("settings.json", "settings.local.json")]
    return any(_below(_facts(name), "sandbox").get("enabled") is True for name in names)
