"""What of the skill is installed where."""

import os
import shlex

from msgspec import Struct

from arctl.skill import places, record
from arctl.skill.places import Copy
from ardaemon.core.version import VERSION

NAMED_MAX = 5  # changed files that are named in a line


class State(Struct, frozen=True, kw_only=True):
    """One folder, and what lies there. `installed` is None where what lies there is not ours."""

    copy: Copy
    there: bool
    installed: record.Installed | None = None
    changes: record.Changes = record.Changes((), (), ())


def state_of(copy: Copy) -> State:
    """Look at one folder."""
    if not os.path.lexists(copy.folder):
        return State(copy=copy, there=False)
    installed = None if os.path.islink(copy.folder) else record.read(copy.folder)
    if installed is None:
        return State(copy=copy, there=True)
    changes = record.changes(record.look(copy.folder), installed.files)
    return State(copy=copy, there=True, installed=installed, changes=changes)


def states(project: str) -> list[State]:
    """Look at all folders where an agent would look: the user's, and those of the project."""
    scopes = (None, project)
    agents = (places.CLAUDE, places.CODEX)
    return [state_of(copy) for agent in agents for scope in scopes for copy in places.copies(agent, scope)]


def line(state: State, source: str) -> str:
    """Say in one line what lies in a folder; `source` is the hash of the skill that we would install."""
    return (
        f"{places.NAMES[state.copy.agent]}, {state.copy.scope}: {state.copy.folder}: {_what(state, source)}"
    )


def _what(state: State, source: str) -> str:
    if not state.there:
        return "not installed"
    if state.installed is None:
        return "not installed by arctl"
    parts = [state.installed.version, *_age(state, source), *_changed(state.changes)]
    return ", ".join(parts)


def _age(state: State, source: str) -> list[str]:
    if state.installed is None or state.installed.source == source:
        return []
    return [f"not that of this arctl ({VERSION}): {command(state.copy)} brings it up to date"]


def _changed(changes: record.Changes) -> list[str]:
    named = {"changed": changes.changed, "missing": changes.missing, "added": changes.added}
    return [f"{word} since: {names(changed)}" for word, changed in named.items() if changed]


def names(all_: tuple[str, ...]) -> str:
    """Name some files of a folder."""
    more = f" and {len(all_) - NAMED_MAX} more" if len(all_) > NAMED_MAX else ""
    return " ".join(all_[:NAMED_MAX]) + more


def command(copy: Copy, verb: str = "install") -> str:
    """Return the command that installs (or uninstalls) this copy."""
    if copy.agent == places.OTHER:
        return f"arctl skill {verb} --path {shlex.quote(os.path.dirname(copy.folder))}"
    scope = " --project" if copy.scope == places.PROJECT else ""
    return f"arctl skill {verb} --{copy.agent}{scope}"


def facts(state: State, source: str) -> dict[str, object]:
    """Return the same for --json."""
    installed = state.installed
    return {
        **state.copy._asdict(),
        "there": state.there,
        "version": None if installed is None else installed.version,
        "current": installed is not None and installed.source == source,
        "changed": state.changes.changed,
        "missing": state.changes.missing,
        "added": state.changes.added,
    }
