"""The front matter of a SKILL.md: what only Claude Code reads is written into it at installation.

In the repository it has the fields of the Agent Skills specification alone, whose validator takes no others.
"""

import json
import re
import shlex

from ardaemon.core.errors import InternalError

FENCE = "---"
HOOK_S = 10  # the agent's limit for a guard, in seconds: above the guard's own (skill/hooks/guard.py)
# Grants hold for the turn that calls the skill; a night needs rules in the agent's settings as well.
TOOLS = {
    "run": "Read, Bash(arctl *), Edit, Grep, Glob, AskUserQuestion",
    "setup": "Read, Bash(arctl *), Grep, Glob, AskUserQuestion",
}
HINTS = {"run": "[expr-slug]"}
_KEY = re.compile(r"^([a-z-]+):", re.MULTILINE)


def portable(text: str, name: str) -> str:
    """Return a SKILL.md under another name."""
    front, body = _split(text)
    return _joined(re.sub(r"^name:.*$", f"name: {name}", front, flags=re.MULTILINE), body)


def for_claude(text: str, part: str, guard: list[str] | None) -> str:
    """Return the SKILL.md of a part of the plugin with what Claude Code alone reads.

    `guard` is the command that runs a guard, less its name; the hooks of the session that runs the skill.
    """
    front, body = _split(text)
    fields = {"argument-hint": HINTS.get(part), "allowed-tools": TOOLS[part]}
    lines = [f"{name}: {json.dumps(value)}" for name, value in fields.items() if value is not None]
    hooks = [] if guard is None else ["hooks:", *_hooks(guard)]
    return _joined("\n".join([_without(front, (*fields, "hooks")), *lines, *hooks]), body)


def _split(text: str) -> tuple[str, str]:
    """Return the lines between the two fences, and what follows them."""
    opening, _, rest = text.partition("\n")
    front, fence, body = rest.partition(f"\n{FENCE}\n")
    if opening != FENCE or not fence:
        raise InternalError("a SKILL.md has no front matter between two ---", "install ardaemon again")
    return front, body


def _joined(front: str, body: str) -> str:
    return f"{FENCE}\n{front}\n{FENCE}\n{body}"


def _without(front: str, names: tuple[str, ...]) -> str:
    """Return the front matter without some fields, each with the indented lines below it."""
    kept, dropped = [], False
    for line in front.split("\n"):
        key = _KEY.match(line)
        dropped = key[1] in names if key is not None else dropped
        if not dropped:
            kept.append(line)
    return "\n".join(kept)


def _hooks(guard: list[str]) -> list[str]:
    """Return the hooks in lines. A call is refused also where the edit guard cannot be started."""
    command = shlex.join(guard)
    return [
        *_hook("PreToolUse", "Edit|MultiEdit|Write|NotebookEdit|Bash", f"{command} edit || exit 2"),
        *_hook("SessionStart", "compact", f"{command} compact"),
        *_hook("Stop", None, f"{command} stop"),
    ]


def _hook(event: str, matcher: str | None, command: str) -> list[str]:
    first = ["    - hooks:"] if matcher is None else [f"    - matcher: {json.dumps(matcher)}", "      hooks:"]
    return [
        f"  {event}:",
        *first,
        "        - type: command",
        f"          command: {json.dumps(command)}",
        f"          timeout: {HOOK_S}",
    ]
