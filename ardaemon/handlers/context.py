"""The context that all handlers share: the board, the experiments' locks, and what is wanted of runs."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from ardaemon.core import asides
from ardaemon.core.errors import ArdaemonError, CorruptState, OwnedElsewhere, StorageError, UnknownExperiment
from ardaemon.core.layout import Experiment, Host, Project, candidate_number, project_folder
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.project_owner import LET_GO_S
from ardaemon.experiment import chaining, choose, committed_last, generation, left_as, session, vanished
from ardaemon.experiment.locks import Locks
from ardaemon.experiment.own_records import Records
from ardaemon.experiment.ownership import Ownership
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import State, load, sweep
from ardaemon.host.disk import Disks
from ardaemon.machine.on_event import Notifier
from ardaemon.machine.overseer import Overseer
from ardaemon.pipeline.facts_keeper import FactsKeeper
from ardaemon.pipeline.log_quota import LogQuota
from ardaemon.queue.board import Board
from ardaemon.queue.control import Control
from ardaemon.queue.idler import Idler
from ardaemon.queue.removed import removed_of
from ardaemon.queue.views import Views

T = TypeVar("T")

# For another daemon to let go of a project in which it has no run. Nobody tells when it does.
OWNER_LOOK_S = 0.5
# How long a daemon waits for the owner, by how that stands. One that is busy may have ended its last run
# this moment, and says so soon (REST_S of letting_go.py).
OWNER_WAITS_S = {"resting": LET_GO_S + 15.0, "measuring": LET_GO_S + 15.0, "busy": 2.0}
# An owner that is asked lets go sooner than this. One of an earlier version, or on another host, may not:
# then the client is told what its request waits for.
OWNER_TOLD_S = 2.0

log = logging.getLogger("ardaemon.run")


@dataclass(frozen=True)
class Context:
    """The daemon, as handlers see it."""

    host: Host
    config: LiveConfig
    board: Board
    views: Views
    control: Control
    locks: Locks
    overseer: Overseer
    disks: Disks
    fingerprint_key: bytes
    started_here: StartedHere
    facts: FactsKeeper
    log_quota: LogQuota
    notifier: Notifier
    idler: Idler
    ownership: Ownership
    take_up: Callable[[list[Path]], Awaitable[None]]  # the runs of these active entries
    swept: set[Path] = field(default_factory=set)  # experiments that this daemon has changed before
    settled: set[Path] = field(default_factory=set)  # projects in which no chain.init is cut short

    @asynccontextmanager
    async def changing(self, experiment: Experiment, mending: bool = False) -> AsyncIterator[None]:
        """Be alone with the experiment's files. Raises StorageError at once while a commit cannot be written.

        `mending`: what a person does about that is let through, and the commit is tried again after it.
        """
        await self._owned(experiment.project)
        flights = self.board.of(experiment)
        removed = []
        if flights:
            removed = await self.ask(experiment, partial(removed_of, flights))
        for flight in flights:
            if flight in removed:
                self.control.drop(flight)
            elif flight.blocked is not None and not mending:
                raise StorageError(
                    f"{flight.run.run_id} cannot go on: {flight.blocked}",
                    "mend that first; the daemon sees it, and tries again by itself",
                )
        async with self.locks.of(experiment.folder):
            if experiment.folder not in self.swept:
                look = partial(_first_look, experiment, self.started_here.records, self.host.left_as)
                newest = await self.do(experiment, look)
                if newest and newest not in {candidate_number(flight.run.run_id) for flight in flights}:
                    generation.committed(experiment, newest)
                self.swept.add(experiment.folder)
                self.facts.wake(experiment)  # a daemon before this one may have been killed too early
            yield
        for flight in self.board.of(experiment):
            if flight.driven or flight.blocked is not None:  # nobody waits for another one
                flight.nudge()

    async def _owned(self, project: Path) -> None:
        """Take the project, once another daemon that has no run in it lets go. Raises OwnedElsewhere."""
        if project not in self.ownership.owned():
            await self.once_let_go(project, partial(self.disks.do, project, _nothing))

    async def once_let_go(self, project: Path, take: Callable[[], Awaitable[T]]) -> T:
        """Take the project by `take`, once another daemon that has no run in it lets go.

        Raises OwnedElsewhere where that daemon keeps it.
        """
        begun, told = time.monotonic(), False
        while True:
            try:
                return await take()
            except OwnedElsewhere as error:
                standing, waited = str(error.data.get("standing")), time.monotonic() - begun
                if waited > OWNER_WAITS_S.get(standing, 0.0):
                    raise
                if waited > OWNER_TOLD_S and not told:
                    told = True
                    await asides.tell_at_once(f"waiting: {error.message}; {error.mend}")
            with suppress(StorageError):  # then it lets go when it does by itself
                await self.disks.ask(project, partial(self.ownership.want, project))
            await anyio.sleep(OWNER_LOOK_S)

    @asynccontextmanager
    async def changing_chain(self, project: Path) -> AsyncIterator[None]:
        """Be alone with a project's chain and the names of its experiments; what was cut short is over then.

        Whoever wants an experiment's lock as well takes that second.
        """
        await self._owned(project)
        async with self.locks.of(Project(project).home):
            if project not in self.settled:
                known, parent = await self._in_making(project)
                if parent is not None:
                    async with self.locks.of(parent.folder):
                        await self.finish_chain(project)
                if known:
                    self.settled.add(project)
            yield

    async def settle(self, project: Path) -> None:
        """Finish, or undo, a chain.init that was cut short, before anything of the project is read.

        What cannot be settled now is tried again with the next request; whoever reads the chain meanwhile
        takes it as it will be (chain.of_project).
        """
        if project in self.settled:
            return
        known, parent = await self._in_making(project)
        if parent is not None:
            with suppress(ArdaemonError):
                async with self.changing_chain(project):
                    return
        elif known:
            self.settled.add(project)

    async def _in_making(self, project: Path) -> tuple[bool, Experiment | None]:
        return await self.disks.ask(project, partial(_in_making, Project(project), self.config.now.trusted))

    async def finish_chain(self, project: Path) -> None:
        """Take the steps of chaining.py that are left; the caller holds the chain's lock and the parent's."""
        parent = await self.disks.do(project, partial(chaining.settle, Project(project)))
        if parent is None:
            return
        for flight in self.board.of(parent):
            if flight.only_waits:
                await self.control.cancel(flight, "cancel")
        await self.disks.do(project, partial(chaining.finish, Project(project)))

    async def let_go(self, project: Path) -> None:
        """Give the project back, and keep nothing in memory of what another daemon may change from now on."""
        await self.keep_delivered(project)
        await self._note_how_left(project)
        if await self.disks.ask(project, partial(self.ownership.let_go, project)):
            for folder in [
                f for f in self.board.verdicts_delivered if Experiment(Path(f)).project == project
            ]:
                del self.board.verdicts_delivered[folder]
            self.swept.difference_update([f for f in self.swept if Experiment(f).project == project])
            self.settled.discard(project)

    async def _note_how_left(self, project: Path) -> None:
        """Note how the experiments are left, so that a backup of all of them is noticed."""
        try:
            note = partial(left_as.note, self.host.left_as, Project(project))
            await anyio.to_thread.run_sync(note, abandon_on_cancel=True)
        except (ArdaemonError, OSError) as error:
            log.warning("not noted", extra={"facts": {"project": str(project), "why": str(error)}})

    async def keep_delivered(self, project: Path) -> None:
        """Write down who has got which verdict of a project, so that the next daemon gives none twice."""
        for folder in list(self.board.verdicts_delivered):
            experiment = Experiment(Path(folder))
            if experiment.project != project:
                continue
            try:
                async with self.locks.of(experiment.folder):
                    delivered = self.board.delivered(experiment.folder)
                    forget = partial(session.forget_delivered, experiment, delivered)
                    owned = partial(self.disks.owned, project, forget)
                    await anyio.to_thread.run_sync(owned, abandon_on_cancel=True)
            except (ArdaemonError, OSError) as error:
                log.warning("not kept", extra={"facts": {"expr": experiment.slug, "why": str(error)}})

    def forget(self, experiment: Experiment) -> None:
        """Keep nothing in memory of an experiment that has left its folder, or has come back to it."""
        self.board.verdicts_delivered.pop(str(experiment.folder), None)
        self.swept.discard(experiment.folder)
        self.idler.forget(experiment)
        generation.forget(experiment)

    # --- an experiment's files: never read on the event loop, for a disk may hang ---

    async def ask(self, experiment: Experiment, work: Callable[[], T]) -> T:
        """Read the experiment's files, as Disks.ask does."""
        return await self.disks.ask(experiment.project, work)

    async def do(self, experiment: Experiment, work: Callable[[], T]) -> T:
        """Change the experiment's files, as Disks.do does."""
        return await self.disks.do(experiment.project, work)

    async def resolve(self, project: str, expr: str | None) -> Experiment:
        """Return the experiment that is meant, as choose.resolve does."""
        await self.settle(project_folder(project))
        work = partial(choose.meant, project, expr, self.config.now.trusted)
        try:
            meant = await self.disks.ask(project_folder(project), work)
            asides.tell(meant.told)
            return meant.experiment
        except UnknownExperiment as error:
            raise await self._explained(error, project_folder(project)) from error

    async def _explained(self, error: UnknownExperiment, project: Path) -> UnknownExperiment:
        known = frozenset(str(one.folder) for one in generation.known_of(Project(project)))
        return await self.disks.ask(project, partial(_explained, error, project, known))

    async def load(self, experiment: Experiment) -> State:
        """Return the state; repaired, with warnings, where a file is broken."""
        try:
            return await self.ask(experiment, partial(load, experiment))
        except CorruptState:
            async with self.changing(experiment, mending=True):
                repaired = await self.do(experiment, partial(load_or_repair, experiment))
                self.facts.wake(experiment)  # a table that was rebuilt has no facts any more
                return repaired

    async def read(self, project: str, expr: str | None, look: Callable[[Experiment, State], T]) -> T:
        """Resolve, load and `look` in one question; what is broken is repaired first."""
        await self.settle(project_folder(project))

        def at_once() -> tuple[str, T]:
            meant = choose.meant(project, expr, self.config.now.trusted)
            return meant.told, look(meant.experiment, load(meant.experiment))

        try:
            told, seen = await self.disks.ask(project_folder(project), at_once)
            asides.tell(told)
            return seen
        except UnknownExperiment as error:
            raise await self._explained(error, project_folder(project)) from error
        except CorruptState:
            experiment = await self.resolve(project, expr)
            state = await self.load(experiment)
            return await self.ask(experiment, lambda: look(experiment, state))


def _first_look(experiment: Experiment, records: Records, notes: Path) -> int:
    """Sweep the experiment, and return the last run that is known of it; 0 if there is none."""
    sweep(experiment)
    generation.recall(experiment, left_as.recalled(notes, experiment))
    return committed_last.learn(experiment, records)


def _nothing() -> None:
    """Change nothing: the project is owned for it."""


def _explained(error: UnknownExperiment, project: Path, known: frozenset[str]) -> UnknownExperiment:
    """Return the error with what is known of the experiment: that it was here, or that one is above."""
    told = vanished.explained(error, project, known)
    return choose.with_above(told, project) if told is error else told


def _in_making(project: Project, trusted: Sequence[str]) -> tuple[bool, Experiment | None]:
    """Tell whether the project has experiments, and which one is the parent of a child in the making."""
    with suppress(ArdaemonError):  # another user's, or a chain that cannot be read: others say so
        choose.require_place(project.folder, trusted)
        return project.home.is_dir(), chaining.parent_in_making(project)
    return False, None
