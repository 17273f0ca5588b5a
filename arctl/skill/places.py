"""Where each agent looks for skills and settings."""

import os
from typing import NamedTuple

from arctl.skill.folder import SKILLS
from ardaemon.core import places

PLUGIN = (
    "autoresearch"  # the plugin's name, and that of its folder: its commands are /autoresearch:run, :setup
)
USER, PROJECT = "user", "project"
CLAUDE, CODEX, OTHER = "claude", "codex", "path"
NAMES = {CLAUDE: "Claude Code", CODEX: "Codex", OTHER: "another agent"}


class Copy(NamedTuple):
    """A folder into which the skill is copied; `part` is PLUGIN for the whole plugin, else one of SKILLS."""

    agent: str
    scope: str
    folder: str
    part: str


def claude_home(project: str | None) -> str:
    """Return the folder of Claude Code's settings: the user's, or that of a project."""
    if project is not None:
        return os.path.join(project, ".claude")
    return places.named("CLAUDE_CONFIG_DIR") or os.path.join(places.home(), ".claude")


def codex_home(project: str | None) -> str:
    """Return the folder of Codex's settings: the user's, or that of a project."""
    if project is not None:
        return os.path.join(project, ".codex")
    return places.named("CODEX_HOME") or os.path.join(places.home(), ".codex")


def copies(agent: str, project: str | None = None, path: str | None = None) -> list[Copy]:
    """Return the folders of an agent: in the project if one is given, else the user's; `path` for OTHER."""
    scope = USER if project is None else PROJECT
    if agent == CLAUDE:
        return [Copy(agent, scope, os.path.join(claude_home(project), "skills", PLUGIN), PLUGIN)]
    if agent == CODEX:
        above = os.path.join(project or places.home(), ".agents", "skills")
    else:
        scope, above = OTHER, os.path.abspath(path or "")
    return [Copy(agent, scope, os.path.join(above, portable_name(part)), part) for part in SKILLS]


def portable_name(part: str) -> str:
    """Return the name of a skill outside the plugin, where the plugin's name does not stand before it."""
    return f"{PLUGIN}-{part}"
