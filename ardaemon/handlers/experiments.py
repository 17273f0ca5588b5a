"""status.*, experiment.*, session.*, chain.*: an experiment and its settings."""

import os

import anyio
import anyio.to_thread

from ardaemon.core import protocol as p
from ardaemon.core.errors import StorageError, UsageError
from ardaemon.core.layout import Experiment
from ardaemon.experiment import create, ledger, seal, session, train_file, unclean
from ardaemon.experiment.chain import chain_of
from ardaemon.experiment.choose import resolve
from ardaemon.experiment.state import State, fallback_run
from ardaemon.handlers import unfollowed
from ardaemon.handlers.context import Context
from ardaemon.handlers.runs import LAST_MAX
from ardaemon.pipeline.flight import Flight
from ardaemon.rpc.dispatch import Notify


class Experiments:
    """The methods on experiments and sessions."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board

    async def status_get(self, params: p.Recent, _: Notify) -> p.StatusView:
        """From counters and the ends of files: the same cost after 100,000 runs."""
        experiment = resolve(params.project, params.expr)
        found = await self.context.load(experiment)
        rows = ledger.last(experiment.results, min(params.last, LAST_MAX))
        sight = self.context.views.sight() if self.board.of(experiment) else None
        left = await self._left(experiment, found)
        return p.StatusView(
            project=str(experiment.project),
            expr=experiment.slug,
            folder=str(experiment.folder),
            contract=found.contract,
            session=found.session,
            best=found.best,
            train_py=_train_py(experiment, found),
            unclean=experiment.unclean.exists(),
            active=tuple(self.context.views.view(f, sight) for f in self.board.of(experiment)),
            recent=tuple(rows),
            warnings=(*found.warnings, *left, *self.board.placement.in_quarantine.values()),
        )

    async def _left(self, experiment: Experiment, found: State) -> list[str]:
        """Say in one line each which runs nobody follows."""
        run_ids = await unfollowed.listed(self.context, experiment, found.session.last_run)
        says = f"--expr {experiment.slug} says why, and what to do"
        return [f"{run_id} is followed by no daemon: arctl wait {run_id} {says}" for run_id in run_ids]

    async def experiment_init(self, params: p.Init, _: Notify) -> p.ExperimentView:
        """Create an experiment, and seal it."""
        if not os.path.isabs(params.project):
            raise UsageError(f"project {params.project[:80]!r} is not an absolute path", "")
        experiment, said = await anyio.to_thread.run_sync(create.create, params)
        return await self._experiment_view(experiment, said)

    async def experiment_seal(self, params: p.Seal, _: Notify) -> p.ExperimentView:
        """Report what changed; with accept, seal what is there now."""
        experiment = resolve(params.project, params.expr)
        async with self.context.changing(experiment, mending=True):
            said = await anyio.to_thread.run_sync(seal.seal, experiment, params)
        return await self._experiment_view(experiment, said)

    async def experiment_clean(self, params: p.Where, _: Notify) -> p.ExperimentView:
        """Lift the sentinel once nothing of what survived lives."""
        experiment = resolve(params.project, params.expr)
        async with self.context.changing(experiment, mending=True):
            folder = self.context.host.quarantine
            said, lifted = await anyio.to_thread.run_sync(unclean.clean, experiment, folder)
            self.board.lift(lifted)
        return await self._experiment_view(experiment, said)

    async def _experiment_view(self, experiment: Experiment, said: list[str]) -> p.ExperimentView:
        found = await self.context.load(experiment)
        return p.ExperimentView(
            project=str(experiment.project),
            expr=experiment.slug,
            folder=str(experiment.folder),
            contract=found.contract,
            said=tuple(said),
            warnings=tuple(found.warnings),
        )

    async def session_start(self, params: p.SessionStart, _: Notify) -> p.SessionView:
        """Runs are accepted from here on."""
        experiment = resolve(params.project, params.expr)
        async with self.context.changing(experiment):
            active = bool(self.board.of(experiment))
            started = await anyio.to_thread.run_sync(session.start, experiment, params, active)
        self.board.renew(experiment.folder, started)
        self.board.hold(experiment.folder, False)
        return await self._session_view(experiment)

    async def session_stop(self, params: p.Where, _: Notify) -> p.SessionView:
        """Interrupt what runs, hold what waits."""
        experiment = resolve(params.project, params.expr)
        async with self.context.changing(experiment, mending=True):
            await anyio.to_thread.run_sync(session.stop, experiment)
            self.board.hold(experiment.folder, True)
        await self._interrupt([f for f in self.board.of(experiment) if f.key in self.board.placement.seated])
        return await self._session_view(experiment)

    async def _interrupt(self, flights: list[Flight]) -> None:
        """End these runs, each whatever becomes of the others' wishes. Raises StorageError."""
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
        """Settings and counters."""
        return await self._session_view(resolve(params.project, params.expr))

    async def _session_view(self, experiment: Experiment) -> p.SessionView:
        found = await self.context.load(experiment)
        chain = chain_of(experiment)
        return p.SessionView(
            project=str(experiment.project),
            expr=experiment.slug,
            session=found.session,
            chain_remaining=chain.chain_remaining if chain else None,
            warnings=tuple(found.warnings),
        )


def _train_py(experiment: Experiment, found: State) -> str:
    placed, best = found.session.placed, found.best
    standing = train_file.current(experiment)
    if standing is None:
        return "missing"
    if best is not None and standing == best.sha256:
        return "in-sync with best"
    if placed is not None and standing == placed.sha256:
        return f"in-sync with {placed.run_id}"
    return f"edited since {placed.run_id if placed else fallback_run(experiment, best)}"
