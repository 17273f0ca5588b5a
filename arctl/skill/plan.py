"""What an installation would write: facts in, plans out. Nothing is changed here."""

import os
import sys
from collections.abc import Sequence

from msgspec import Struct

from arctl.skill import checks, claude, codex, places, record, settings, show, tree
from arctl.skill.folder import Tree
from arctl.skill.places import Copy
from arctl.skill.record import Entry, Installed
from arctl.skill.server import Server
from arctl.skill.settings import Change
from arctl.skill.show import State
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import Refused
from ardaemon.core.version import VERSION

ADDED_MAX = 200  # files of a person's own in an installed folder, which an upgrade takes along


class CopyPlan(Struct, frozen=True, kw_only=True):
    """A folder and what is to lie in it. `added` are a person's own files, which stay.

    `save`: files there that a person changed are kept under another name.
    """

    state: State
    files: Tree
    source: str
    added: Tree
    save: bool

    @property
    def current(self) -> bool:
        """Return whether all files are there as they are to be."""
        changes = self.state.changes
        installed = self.state.installed
        same = installed is not None and installed.files == record.hashes(self.files)
        return same and not changes.changed and not changes.missing

    def installed(self, entries: tuple[Entry, ...]) -> Installed:
        """Return the record of the folder."""
        return Installed(
            version=VERSION, source=self.source, files=record.hashes(self.files), entries=entries
        )


def copy_plan(copy: Copy, source: Tree, server: str | None, force: bool) -> CopyPlan:
    """Plan one folder. Raises Refused if a person's file is in the way and `force` is not given."""
    checks.require_place(copy.folder)
    state = show.state_of(copy)
    files_ = tree.wanted(copy, source, sys.executable, server)
    in_the_way = _in_the_way(state, files_)
    if in_the_way and not force:
        raise Refused(
            f"{copy.folder} has files that a person changed: {show.names(in_the_way)}",
            f"{show.command(copy)} --force puts ours there, and keeps the old folder under another name",
        )
    added = {} if in_the_way else persons_files(copy.folder, state.changes.added)
    return CopyPlan(
        state=state, files=files_, source=record.source_hash(source), added=added, save=bool(in_the_way)
    )


def _in_the_way(state: State, wanted: Tree) -> tuple[str, ...]:
    """Return the files that are neither ours as installed nor what we would install."""
    if not state.there:
        return ()
    if not os.path.isdir(state.copy.folder):
        return (".",)
    if state.installed is None:
        here = record.look(state.copy.folder)
        return tuple(name for name, one in here.items() if one != record.hashes(wanted).get(name))
    ours = record.hashes(wanted)
    here = record.look(state.copy.folder)
    changed = tuple(name for name in state.changes.changed if here[name] != ours.get(name))
    return (*changed, *(name for name in state.changes.added if name in ours and here[name] != ours[name]))


def persons_files(folder: str, names: Sequence[str]) -> Tree:
    """Return a person's files in an installed folder. Raises Refused if they are many, or no files."""
    if len(names) > ADDED_MAX:
        raise Refused(
            f"{folder} has {len(names)} files of a person's own", "move them elsewhere, then call again"
        )
    try:
        return {name: files.read(os.path.join(folder, name), file_kinds.INSTALLED) for name in names}
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}", "move it elsewhere, then call again") from error


def changes(
    agent: str, project: str | None, server: Server, approved: bool, ours: Sequence[Entry]
) -> list[Change]:
    """Plan the changes of an agent's settings. Raises Refused if a file is broken, or not to be written."""
    planned: list[Change | None] = []
    if agent == places.CLAUDE:
        own = claude.has_server(project)
        planned = [claude.change(project, server.program is not None, own)]
    elif agent == places.CODEX:
        planned = [*codex.changes(server.program, project, approved, ours)]
    wanted = [change for change in planned if change is not None]
    for change in wanted:
        checks.require_file(change.file)
    return wanted


def removals(entries: Sequence[Entry]) -> list[Change]:
    """Plan to take out of settings what was added to them."""
    names = dict.fromkeys(entry.file for entry in entries)
    planned = [settings.without(name, [one for one in entries if one.file == name]) for name in names]
    wanted = [change for change in planned if change is not None]
    for change in wanted:
        checks.require_file(change.file)
    return wanted
