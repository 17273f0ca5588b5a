"""Take over what a daemon of another state folder has left in a project: `arctl adopt`.

The lock has told that this daemon is dead; or its lease is over, and a person has decided. Its runs lie in
its state folder, as active entries, and are signed with the key there. Each is signed anew, then gets an
entry here, and loses the one there last: so a kill in between leaves every run with a daemon, and the same
command goes on.

What cannot be seen is left alone, and named: an entry in a folder that is not there, and a job at work in
another container or on another host, whose processes no daemon here could end.
"""

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError, CorruptState, ForeignOwner, Refused, UnknownSchema
from ardaemon.core.folders import Look, listing
from ardaemon.core.layout import RUN_ID, Experiment, Host, Project, Run, measured_by
from ardaemon.core.model import Session
from ardaemon.core.owner import is_ours
from ardaemon.core.project_owner import ProjectOwner, Standing
from ardaemon.core.run_record import Active, Launching, RunRecord
from ardaemon.experiment import generation, ownership, run_folders
from ardaemon.experiment.started_here import StartedHere
from ardaemon.host import durable, file_lock, secret, state
from ardaemon.pipeline.submit import entry_path


class Adopted(Struct):
    """What was taken over: the entries here; and what was not, with the reason."""

    entries: list[Path] = []
    unseen: dict[str, str] = {}  # run id, with its experiment -> why


class Adoption:
    """Take over from `before` for `me`, whose active entries lie in `host`; `next_seq` numbers them."""

    def __init__(
        self, project: Path, host: Host, me: ProjectOwner, mine: StartedHere, next_seq: Callable[[], int]
    ) -> None:
        self.project, self.host, self.me, self.mine, self.next_seq = project, host, me, mine, next_seq
        self.done = Adopted()

    def take_over(self, before: ProjectOwner, why: Standing) -> None:
        """Move its runs of the project here, and sign its sessions. Raises Refused if it is started again."""
        left = Host(Path(before.state), self.host.runtime)
        if not self._is_its_own(left, before):
            return
        if file_lock.is_locked(str(left.lock)):
            raise Refused(
                f"a daemon of the state folder {left.state} is there again: it takes its runs up by itself",
                f"use that one: XDG_STATE_HOME={shlex.quote(str(left.state.parent.parent))} arctl status",
            )
        theirs = StartedHere.of(left)
        for experiment in Project(self.project).experiments():
            self._sign(experiment, theirs)
        for entry, active in self._entries(left):
            self._move(entry, active, theirs, before, why)

    def _is_its_own(self, left: Host, before: ProjectOwner) -> bool:
        """Tell whether the folder is there, and is that daemon's: a container may have its own there."""
        if left.state == self.host.state or not left.state.is_dir():
            return False
        keys = (left.session_key, left.fingerprint_key)
        if not is_ours(os.stat(left.state).st_uid) or not all(map(secret.is_whole, keys)):
            return False
        return ownership.described(secret.key(left.fingerprint_key, "")) == before.key

    def _sign(self, experiment: Experiment, theirs: StartedHere) -> None:
        session = state.read(experiment.session, Session)
        if session is not None and theirs.knows(session) and not self.mine.knows(session):
            generation.write(experiment, self.mine.signed(session))

    def _entries(self, left: Host) -> Iterator[tuple[Path, Active]]:
        names = (one.name for one in listing(str(left.active), Look(left.active)))
        for entry in sorted(left.active / name for name in names if name.endswith(".json")):
            active = None
            with suppress(ArdaemonError):  # an entry that cannot be read: its run is named as one left over
                active = state.read(entry, Active)
            if active is not None and Experiment(Path(active.folder)).project == self.project:
                yield entry, active

    def _move(
        self, entry: Path, active: Active, theirs: StartedHere, before: ProjectOwner, why: Standing
    ) -> None:
        experiment = Experiment(Path(active.folder))
        run = experiment.run(active.run_id)
        name = f"{experiment.slug}/{active.run_id}"
        try:
            record = self.mine.records.read(run) or theirs.records.of_entry(run, active)
        except (CorruptState, ForeignOwner, UnknownSchema) as error:
            self.done.unseen[name] = error.message
            return
        if record is None:
            self.done.unseen[name] = f"{run.record} is not there"
        elif (elsewhere := self._elsewhere(run, record, before, why)) is not None:
            self.done.unseen[name] = f"its job may be at work {elsewhere}"
        else:
            record = replace(record, state_folder=str(self.host.state))
            state.write(run.record, self.mine.records.signed(record))
            here = entry_path(self.host.active, experiment, active.run_id)
            state.write(here, replace(active, seq=self.next_seq()), 0o600)
            durable.remove(entry)
            self.done.entries.append(here)

    def _elsewhere(self, run: Run, record: RunRecord, before: ProjectOwner, why: Standing) -> str | None:
        """Say where the run's job may be at work unseen; None if a daemon here could find and end it."""
        if not isinstance(record.state, Launching):
            return None
        if run.attempt(record.state.handle.attempt).exit.exists():
            return None
        if why == "stale":
            return f"on {before.host}"
        same = (before.boot_id, before.pid_namespace) == (self.me.boot_id, self.me.pid_namespace)
        return None if same or before.boot_id != self.me.boot_id else "in another container"


def left_over(project: Path, entries: Path) -> Iterator[str]:
    """Yield the runs of the project that have no verdict, and no active entry in the folder `entries`."""
    for experiment in Project(project).experiments():
        names = run_folders.names(experiment)
        for name in sorted(name for name in names if RUN_ID.fullmatch(name) or measured_by(name)):
            run = experiment.run(name)
            if run.result.exists() or entry_path(entries, experiment, name).exists():
                continue
            try:
                record = state.read(run.record, RunRecord)
            except ArdaemonError:
                continue  # others say so
            if record is not None:
                yield f"{experiment.slug}/{name}"
