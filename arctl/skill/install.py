"""Installs the skill for an agent, and takes it away again."""

import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from arctl.skill import checks, claude, copying, folder, places, plan, record, server, settings, show
from arctl.skill.folder import Tree
from arctl.skill.places import Copy
from arctl.skill.plan import CopyPlan
from arctl.skill.record import Entry
from arctl.skill.server import Server
from arctl.skill.settings import Change
from arctl.skill.show import State
from ardaemon.core.errors import Refused
from ardaemon.host import state

NO_SERVER = Server(None, "not wanted")
# How a person goes on in the agent.
NEXT = {
    places.CLAUDE: "/autoresearch:setup makes an experiment, /autoresearch:run drives it; in a session that"
    " is open, /reload-plugins first",
    places.CODEX: "$autoresearch-setup makes an experiment, $autoresearch-run drives it",
    places.OTHER: "the skill autoresearch-setup makes an experiment, autoresearch-run drives it",
}


class Wish(Struct, frozen=True, kw_only=True):
    """What the command line asks for. `project`: install into it, not for the user."""

    agent: str
    project: str | None = None
    path: str | None = None
    force: bool = False
    dry_run: bool = False
    mcp: bool = True

    @property
    def copies(self) -> list[Copy]:
        """Return the folders of the agent."""
        return places.copies(self.agent, self.project, self.path)


Confirm = Callable[[Change], bool]
Tell = Callable[[str], None]


class _Work:
    """A wish, and how to print a line about it."""

    def __init__(self, wish: Wish, tell: Tell) -> None:
        self.wish, self.tell = wish, tell

    def show(self, change: Change) -> None:
        """Print a change of settings."""
        self.tell(f"{change.file}: {change.why}")
        for line in change.diff():
            self.tell(f"  {line}")

    def apply(self, change: Change) -> None:
        """Write a change of settings."""
        backup = settings.apply(change)
        self.tell(f"changed: {change.file}" + (f"; as it was: {backup}" if backup else ""))


class Installing(_Work):
    """An installation: everything is planned first, so that a refusal leaves nothing behind.

    `confirm` asks a person about a change of settings. `approve`: somebody is there to be asked whether the
    agent may call the MCP server's tools without a question.
    """

    def __init__(self, wish: Wish, tell: Tell, confirm: Confirm, approve: bool) -> None:
        super().__init__(wish, tell)
        self.confirm, self.approve = confirm, approve
        self.plans: list[CopyPlan] = []
        self.changes: list[Change] = []

    def prepare(self) -> None:
        """Plan the folders and the changes of settings."""
        copies = self.wish.copies
        checks.require_no_sandbox(show.command(copies[0]))
        for copy in copies:
            checks.require_place(copy.folder)
        if not self.wish.dry_run:
            self._mend(copies)
        found, source = self._server(), folder.contents(folder.folder())
        copies = [copy for copy in copies if copy.part in (places.PLUGIN, *folder.skills(source))]
        own = self.wish.agent == places.CLAUDE and claude.has_server(self.wish.project)
        program = None if own else found.program
        self.plans = [plan.copy_plan(copy, source, program, self.wish.force) for copy in copies]
        self.changes = plan.changes(self.wish.agent, self.wish.project, found, self.approve, self._entries())

    def install(self) -> None:
        """Have the changes confirmed, then write: the folders first, the settings after them."""
        accepted = [change for change in self.changes if self._is_accepted(change)]
        still_there = filter(settings.is_there, self._entries())
        entries = (*still_there, *(entry for change in accepted for entry in change.entries))
        for number, one in enumerate(self.plans):
            self._put(one, entries if number == 0 else ())
        for change in accepted:
            self.apply(change)
        if self.wish.project is not None:
            self.tell("do not commit these files: they name paths of this machine")
        self.tell(f"next: {NEXT[self.wish.agent]}")

    def _entries(self) -> tuple[Entry, ...]:
        """Return what earlier installations have added to settings."""
        records = [one.state.installed for one in self.plans]
        return tuple(entry for one in records if one is not None for entry in one.entries)

    def _mend(self, copies: list[Copy]) -> None:
        for copy in copies:
            if os.path.lexists(copying.work_of(copy.folder)):
                with copying.locked(copy.folder):
                    copying.mend(copy.folder)

    def _server(self) -> Server:
        if not self.wish.mcp or self.wish.agent == places.OTHER:
            return NO_SERVER
        found = server.find()
        if found.program is None:
            name = places.NAMES[self.wish.agent]
            self.tell(f"{name} gets no MCP server, for arctl mcp does not start: {found.why}")
        return found

    def _is_accepted(self, change: Change) -> bool:
        self.show(change)
        if self.wish.dry_run:
            return False
        if self.confirm(change):
            return True
        command = show.command(self.wish.copies[0])
        self.tell(f"left as it is: {change.file}; a person can allow it at a terminal: {command}")
        return False

    def _put(self, one: CopyPlan, entries: tuple[Entry, ...]) -> None:
        where, installed = one.state.copy.folder, one.installed(entries)
        if one.current and one.state.installed == installed:
            return self.tell(f"up to date: {where}")
        if self.wish.dry_run:
            return self.tell(f"would write {len(one.files)} files: {where}")
        with copying.locked(where):
            copying.mend(where)
            if one.current:
                state.write(Path(where, record.NAME), installed)
            else:
                self._exchange(one, {**one.added, **one.files, record.NAME: state.encode(installed)})
        return None

    def _exchange(self, one: CopyPlan, tree: Tree) -> None:
        where = one.state.copy.folder
        saved = copying.put(where, tree, keep_old=one.save)
        self.tell(f"installed: {where}")
        if saved is not None:
            self.tell(f"  what was there before: {saved}")


class Removing(_Work):
    """The way back: what was added to settings first, the folders after it; what a person changed stays."""

    def __init__(self, wish: Wish, tell: Tell) -> None:
        super().__init__(wish, tell)
        self.states: list[State] = []
        self.left: list[Tree] = []  # a person's files, which stay in each folder
        self.changes: list[Change] = []

    def prepare(self) -> None:
        """Look at the folders, and plan the changes of settings."""
        copies = self.wish.copies
        checks.require_no_sandbox(show.command(copies[0], "uninstall"))
        self.states = [show.state_of(copy) for copy in copies]
        for one in self.states:
            if one.there and one.installed is None:
                raise Refused(
                    f"{one.copy.folder} was not installed by arctl", "look at it, and remove it yourself"
                )
            checks.require_place(one.copy.folder)
            names = (*one.changes.changed, *one.changes.added)
            self.left.append(plan.persons_files(one.copy.folder, names))
        records = [one.installed for one in self.states if one.installed is not None]
        self.changes = plan.removals([entry for one in records for entry in one.entries])

    def uninstall(self) -> None:
        """Do it."""
        for change in self.changes:
            self.show(change)
            if not self.wish.dry_run:
                self.apply(change)
        for one, left in zip(self.states, self.left, strict=True):
            self._take_away(one, left)

    def _take_away(self, one: State, left: Tree) -> None:
        where, but = one.copy.folder, f", but for {show.names(tuple(left))}" if left else ""
        if not one.there:
            return self.tell(f"not installed: {where}")
        if self.wish.dry_run:
            return self.tell(f"would remove: {where}{but}")
        with copying.locked(where):
            copying.mend(where)
            if left:
                copying.put(where, left)
            else:
                copying.take_away(where)
        return self.tell(f"removed: {where}{but}")
