"""run.rerun, noise.get: launch a version once more, and what such launches say of the noise."""

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from ardaemon.core import asides
from ardaemon.core import protocol as p
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, candidate_of
from ardaemon.experiment.state import State
from ardaemon.handlers import launches
from ardaemon.handlers.context import Context
from ardaemon.handlers.lookup import named
from ardaemon.judging.noise import plainly
from ardaemon.pipeline import asked_again, measures
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.measures import LATER, OneMore
from ardaemon.rpc.dispatch import Notify


class Measures:
    """The methods on launches that get no verdict."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board

    async def run_rerun(self, params: p.Rerun, _: Notify) -> p.Reruns:
        """Launch a run's version with other seeds; all is on disk when this returns."""
        self.board.require_room(params.seeds + params.same)
        experiment = await self.context.resolve(params.project, params.expr)
        run_id = candidate_of(await named(self.context, experiment, params.run_id))
        inventory = await self.context.overseer.usable()
        caller = asked_again.Caller(
            self.context.config.now,
            self.context.fingerprint_key,
            self.context.started_here,
            inventory,
            self.context.host.active,
        )
        for line in await self.context.log_quota.make_room(experiment.project):
            asides.tell(line)
        async with self.context.changing(experiment):
            look = partial(asked_again.launches, experiment, run_id, params, caller)
            queued = await self._queued(experiment, await self.context.do(experiment, look))
        return p.Reruns(expr=experiment.slug, run_id=run_id, runs=tuple(queued))

    async def _queued(self, experiment: Experiment, launches: Sequence[OneMore]) -> list[str]:
        """Put each launch on disk and at once on the board; return their names.

        If one cannot be put on disk, those before it stay: the answer's warning says how many there are.
        """
        queued: list[str] = []
        for launch in launches:
            try:
                flight = await self._laid_out(experiment, launch)
            except ArdaemonError as error:
                if not queued:
                    raise
                so_many = f"only {len(queued)} of {len(launches)} launches are queued"
                asides.tell(f"{so_many}: {error.message}; {error.mend}")
                break
            queued += [flight.run.run_id] if flight is not None else []
        return queued

    async def _laid_out(self, experiment: Experiment, launch: OneMore) -> Flight | None:
        entries, seq = self.context.host.active, self.board.next_seq()
        records = self.context.started_here.records
        work = partial(measures.lay_out, experiment, launch, entries, seq, records, LATER)
        done = await self.context.do(experiment, work)
        return measures.put_on(self.board, experiment, done) if done is not None else None

    async def noise_get(self, params: p.WhichRun, _: Notify) -> p.NoiseView:
        """Return what all launches of a run's version say of the noise. Raises UnknownRun."""
        experiment = await self.context.resolve(params.project, params.expr)
        current = await self.context.load(experiment)
        run_id = current.best.run_id if current.best is not None else None
        if params.run_id is not None:
            run_id = candidate_of(await named(self.context, experiment, params.run_id))
        look = partial(_noise, experiment, run_id, current)
        return await self.context.ask(experiment, look)


def _noise(experiment: Experiment, run_id: str | None, current: State) -> p.NoiseView:
    """Read the values of a version's launches that are comparable; without a run there are none."""
    contract = current.contract
    view = p.NoiseView(expr=experiment.slug, run_id=run_id or "", metric=contract.primary.metric)
    if run_id is None:
        return view
    conditions = launches.conditions_now(current.session.settings, contract)
    found = launches.comparable(launches.of(experiment, run_id, contract), conditions)
    values: dict[int, float] = {}
    for one in found:
        values.setdefault(one.seed, one.value)
    same = [one.value for one in found if one.seed == 0]
    noise = plainly.of([*values.values()], same)
    view = replace(view, values=tuple(values.values()), same=tuple(same))
    if noise is None:
        return view
    return replace(view, **noise._asdict(), said=plainly.advice(noise, view.metric))
