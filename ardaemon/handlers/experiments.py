"""status.*, experiment.*, session.*: an experiment and its settings."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio
from msgspec.structs import replace

from ardaemon.core import protocol as p
from ardaemon.core.errors import ArdaemonError, Refused, StorageError
from ardaemon.core.events import SessionChanged
from ardaemon.core.layout import Experiment, Project, candidate_of, project_folder
from ardaemon.core.model import Session, Settings
from ardaemon.experiment import (
    change,
    choose,
    create,
    ledger,
    seal,
    session,
    shelf,
    train_file,
    unclean,
    vanished,
)
from ardaemon.experiment.chain import chain_of, of_project
from ardaemon.experiment.chain_generation import is_before, require_newest
from ardaemon.experiment.restore import restore
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import State, fallback_run, hours_of
from ardaemon.handlers import unfollowed
from ardaemon.handlers.context import Context
from ardaemon.handlers.lookup import named
from ardaemon.handlers.runs import LAST_MAX
from ardaemon.handlers.unfollowed import arrivals
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline import idle
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.need import require_possible
from ardaemon.rpc.dispatch import Notify

ORDER = ("blocked", "at work", "waiting")  # in which the runs under way are shown


class _Seen(NamedTuple):
    """The part of `status` that comes from an experiment's files, read at one moment."""

    experiment: Experiment
    state: State
    rows: tuple[dict[str, str], ...]
    train_py: str
    unclean: bool
    chain: p.ChainPlace | None
    suspects: set[str]


def _seen(experiment: Experiment, state: State, last: int, started_here: StartedHere) -> _Seen:
    seen = started_here.as_seen(experiment, state)
    return _Seen(
        experiment,
        seen,
        tuple(ledger.last(experiment.results, min(last, LAST_MAX))),
        _train_py(experiment, state),
        experiment.unclean.exists(),
        _place_in_chain(experiment, seen),
        unfollowed.suspects(experiment, state.session.last_run),
    )


class Experiments:
    """The methods on experiments and sessions."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board

    async def status_get(self, params: p.Recent, _: Notify) -> p.StatusView:
        """Show an experiment from counters and the ends of files: the same cost after 100,000 runs."""
        look = partial(_seen, last=params.last, started_here=self.context.started_here)
        seen = await self.context.read(params.project, params.expr, look)
        experiment, state = seen.experiment, seen.state
        left = await self._left(experiment, seen.suspects)
        went_back = await self._went_back(experiment, state)
        # Nothing is awaited from here on: the counts, the views and the sight agree.
        under_way = Counter(map(_standing, self.board.of(experiment)))
        arriving = self.board.arriving[str(experiment.folder)]
        return p.StatusView(
            project=str(experiment.project),
            expr=experiment.slug,
            folder=str(experiment.folder),
            contract=state.contract,
            session=state.session,
            best=state.best,
            train_py=seen.train_py,
            unclean=seen.unclean,
            chain=seen.chain,
            hours=hours_of(state.session),
            gpu_hours=state.session.counters.gpu_hours,
            active=self._first(experiment),
            blocked=under_way["blocked"],
            at_work=under_way["at work"],
            waiting=under_way["waiting"] + arriving,
            recent=seen.rows,
            warnings=(
                *state.warnings,
                *([state.session.drift] if state.session.drift else []),
                *went_back,
                *left,
                *arrivals(arriving),
                *self.board.placement.in_quarantine.values(),
            ),
        )

    def _first(self, experiment: Experiment) -> tuple[p.RunView, ...]:
        """Return the first runs under way: of thousands, nobody looks at more."""
        flights = sorted(self.board.of(experiment), key=lambda flight: ORDER.index(_standing(flight)))
        shown = flights[: p.STATUS_RUNS_MAX]
        sight = self.context.views.sight() if any(flight.state == "queued" for flight in shown) else None
        return tuple(self.context.views.view(flight, sight) for flight in shown)

    async def _went_back(self, experiment: Experiment, state: State) -> list[str]:
        """Return a line if the files know less than what was committed here."""
        try:
            if vanished.went_back(experiment, state.session):
                await self.context.ask(experiment, partial(vanished.require_newest_there, experiment))
        except Refused as error:
            return [error.line]
        return []

    async def _left(self, experiment: Experiment, suspects: set[str]) -> list[str]:
        """Return a line for each run that nobody follows."""
        run_ids = await unfollowed.of(self.context, experiment, suspects)
        if not run_ids:
            return []
        other = await unfollowed.owner(self.context, experiment)
        who = "no daemon" if other is None or other.data["standing"] == "left" else "another daemon"
        says = f"--expr {experiment.slug} says why, and what to do"
        return [f"{run_id} is followed by {who}: arctl wait {run_id} {says}" for run_id in run_ids]

    async def experiment_init(self, params: p.Init, _: Notify) -> p.ExperimentView:
        """Create an experiment, and seal it."""
        project = project_folder(params.project)
        # A dead mount, or another user's folder, is refused here, before anything is written.
        look = partial(choose.require_place, project, self.context.config.now.trusted)
        await self.context.disks.ask(project, look)
        work = partial(create.create, params)
        async with self.context.changing_chain(project):  # nobody else makes one of that name meanwhile
            experiment, report = await self.context.disks.do(project, work)
        self.context.forget(experiment)
        return await self._experiment_view(experiment, report)

    async def experiment_seal(self, params: p.Seal, _: Notify) -> p.ExperimentView:
        """Report what changed under the seal; with `accept`, seal what is there now."""
        experiment = await self.context.resolve(params.project, params.expr)
        async with self.context.changing(experiment, mending=True):
            report = await self.context.do(experiment, partial(seal.seal, experiment, params))
        return await self._experiment_view(experiment, report)

    async def experiment_clean(self, params: p.Where, _: Notify) -> p.ExperimentView:
        """Verify that no survivor of a kill lives, and lift the sentinel."""
        experiment = await self.context.resolve(params.project, params.expr)
        async with self.context.changing(experiment, mending=True):
            folder = self.context.host.quarantine
            report, lifted = await self.context.do(experiment, partial(unclean.clean, experiment, folder))
            self.board.lift(lifted)
        return await self._experiment_view(experiment, report)

    async def _experiment_view(self, experiment: Experiment, report: list[str]) -> p.ExperimentView:
        return _experiment_view(experiment, await self.context.load(experiment), tuple(report))

    async def experiment_restore(self, params: p.WhichRun, _: Notify) -> p.ExperimentView:
        """Make train.py the version of a run; what stood there is archived if no run has it."""
        experiment = await self.context.resolve(params.project, params.expr)
        run_id = candidate_of(await named(self.context, experiment, params.run_id))
        async with self.context.changing(experiment):
            restored = await self.context.do(experiment, partial(restore, experiment, run_id))
        return _experiment_view(experiment, restored.state, restored.said)

    async def experiment_archive(self, params: p.Archive, _: Notify) -> p.Archived:
        """Put an experiment aside, or take it back; without a name, list those that are."""
        project = Project(project_folder(params.project))
        look = partial(choose.require_place, project.folder, self.context.config.now.trusted)
        await self.context.disks.ask(project.folder, look)
        if params.slug is None:
            said = await self.context.disks.ask(project.folder, partial(shelf.listed, project))
        elif params.back:
            said = await self._put_back(project, params.slug)
        else:
            said = await self._put_aside(await self.context.resolve(params.project, params.slug))
        return p.Archived(project=str(project.folder), said=tuple(said))

    async def _put_back(self, project: Project, name: str) -> list[str]:
        work = partial(shelf.put_back, project, name, self.context.config.now.trusted)
        async with self.context.changing_chain(project.folder):
            experiment, said = await self.context.disks.do(project.folder, work)
            self.context.forget(experiment)
        return said

    def _active(self, experiment: Experiment) -> list[str]:
        return [flight.run.run_id for flight in self.board.of(experiment)]

    async def _put_aside(self, experiment: Experiment) -> list[str]:
        whole = self.context.changing_chain(experiment.project)
        async with whole, self.context.changing(experiment, mending=True):
            session.require_over(experiment, self._active(experiment))
            said = await self.context.do(experiment, partial(shelf.put_aside, experiment))
            self.context.forget(experiment)
        return said

    async def session_start(self, params: p.SessionStart, _: Notify) -> p.SessionView:
        """Start a session: runs are accepted from here on."""
        experiment = await self.context.resolve(params.project, params.expr)
        alone = nullcontext() if params.chain is None else self.context.changing_chain(experiment.project)
        # By this a person goes on from an earlier state, also while a run waits for that.
        mending = await self._is_taken_back(experiment)
        async with alone, self.context.changing(experiment, mending):
            active = self._active(experiment)
            possible = await self._possible(params.environment)
            work = partial(session.start, experiment, params, active, self.context.started_here, possible)
            started = await self.context.do(experiment, work)
        self.board.renew(experiment.folder, started.session)
        self.board.hold(experiment.folder, False)
        self._tell_idler(experiment, started.session, params.environment)
        self.board.announce(experiment, SessionChanged(live=True))
        view = await self._session_view(experiment)
        warnings = (*view.warnings, *started.warnings, *self._of_locks(experiment.project))
        return replace(view, inherited=started.inherited, warnings=warnings, said=started.said)

    def _tell_idler(
        self, experiment: Experiment, session: Session, environment: dict[str, str] | None = None
    ) -> None:
        """Have idle places used as the session says: at once, if it is known how its runs are launched."""
        like = None
        if environment is not None:
            like = idle.started(experiment, job_environment.filtered(environment, self.context.config.now))
        wanted = session.settings is not None and session.settings.measure_noise
        self.context.idler.session(experiment, wanted, like)

    def _of_locks(self, project: Path) -> tuple[str, ...]:
        """Return a line if nothing but a record keeps other machines out of the project."""
        if self.context.ownership.has_locks(project):
            return ()
        return (f"the file system of {project} has no locks: work in it on one host, and in one container",)

    async def _is_taken_back(self, experiment: Experiment) -> bool:
        """Tell whether the files know less than what was committed here, or have lost all results."""

        def look() -> bool:
            try:
                vanished.require_results(experiment)
                vanished.require_newest_there(experiment)
            except Refused:
                return True
            return False

        return await self.context.ask(experiment, look)

    async def session_set(self, params: p.SessionSet, _: Notify) -> p.SessionView:
        """Change settings of the live session, where its values stay comparable."""
        experiment = await self.context.resolve(params.project, params.expr)
        async with self.context.changing(experiment):
            possible = await self._possible({})
            here = self.context.started_here
            work = partial(change.change, experiment, params.given, here, possible, params.environment)
            changed = await self.context.do(experiment, work)
            self.board.renew(experiment.folder, changed.session)
        self._tell_idler(experiment, changed.session)
        self.board.announce(experiment, SessionChanged(live=True))
        return replace(await self._session_view(experiment), said=changed.said)

    async def _possible(self, environment: Mapping[str, str]) -> Callable[[Settings], None]:
        """Return what refuses the settings that this machine can never meet."""
        inventory = await self.context.overseer.usable()
        return partial(require_possible, environment=environment, inventory=inventory)

    async def session_stop(self, params: p.Where, _: Notify) -> p.SessionView:
        """End the session: interrupt the runs that are at work, hold those that wait."""
        experiment = await self.context.resolve(params.project, params.expr)
        async with self.context.changing(experiment, mending=True):
            await self.context.do(experiment, partial(session.stop, experiment))
            self.board.hold(experiment.folder, True)
        self.board.announce(experiment, SessionChanged(live=False))
        at_work = [f for f in self.board.of(experiment) if f.key in self.board.placement.seated]
        self.context.idler.session(experiment, False)
        await self._interrupt([f for f in at_work if not f.is_idle])  # an idle launch gives way by itself
        return await self._session_view(experiment)

    async def _interrupt(self, flights: list[Flight]) -> None:
        """End these runs; where one wish cannot be written, the others still are. Raises StorageError."""
        refused: list[StorageError] = []

        async def stop(flight: Flight) -> None:
            try:
                await self.context.control.cancel(flight, "stop")
            except StorageError as error:
                refused.append(error)

        async with anyio.create_task_group() as tasks:
            for flight in flights:
                tasks.start_soon(stop, flight)
        if refused:
            raise refused[0]

    async def session_get(self, params: p.Where, _: Notify) -> p.SessionView:
        """Return the settings and counters of the session."""
        look = partial(_session_view, started_here=self.context.started_here)
        return await self.context.read(params.project, params.expr, look)

    async def _session_view(self, experiment: Experiment) -> p.SessionView:
        state = await self.context.load(experiment)
        work = partial(_session_view, experiment, state, self.context.started_here)
        return await self.context.ask(experiment, work)


def _standing(flight: Flight) -> str:
    if flight.blocked is not None:
        return "blocked"
    return "waiting" if flight.state == "queued" else "at work"


def _session_view(experiment: Experiment, state: State, started_here: StartedHere) -> p.SessionView:
    """Return the session as it is shown; its chain is read from the disk."""
    seen, chain = started_here.as_seen(experiment, state), chain_of(experiment)
    return p.SessionView(
        project=str(experiment.project),
        expr=experiment.slug,
        session=seen.session,
        chain_mode=chain.mode if chain else None,
        chain_remaining=chain.left if chain else None,
        hours=hours_of(seen.session),
        gpu_hours=seen.session.counters.gpu_hours,
        warnings=tuple(seen.warnings),
    )


def _train_py(experiment: Experiment, state: State) -> str:
    """Say how train.py stands: as what the daemon placed there, or edited since."""
    placed, best = state.session.placed, state.best
    standing = train_file.current(experiment)
    if standing is None:
        return "unreadable" if os.path.lexists(experiment.train) else "missing"
    if best is not None and standing == best.sha256:
        return "in-sync with best"
    if placed is not None and standing == placed.sha256:
        return f"in-sync with {placed.run_id}"
    return f"edited since {placed.run_id if placed else fallback_run(experiment, best)}"


def _experiment_view(experiment: Experiment, state: State, said: tuple[str, ...]) -> p.ExperimentView:
    return p.ExperimentView(
        project=str(experiment.project),
        expr=experiment.slug,
        folder=str(experiment.folder),
        contract=state.contract,
        said=said,
        warnings=tuple(state.warnings),
    )


def _place_in_chain(experiment: Experiment, current: State) -> p.ChainPlace | None:
    """Return the place in the chain that goes on; None if it is in none.

    A broken chain is a warning, and so is one of before, if this experiment has seen a later one.
    """
    project = Project(experiment.project)
    try:
        chain = of_project(project)
        if chain is not None and is_before(chain, current.session.chain):
            require_newest(project, chain)
    except ArdaemonError as error:
        current.warnings.append(error.line)
        return None
    if chain is None or chain.mode == "disabled" or experiment.slug not in chain.chain_trail:
        return None
    position = chain.chain_trail.index(experiment.slug) + 1
    return p.ChainPlace(position=position, current=chain.current_slug, remaining=chain.left)
