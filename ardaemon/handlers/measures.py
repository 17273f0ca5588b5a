"""run.rerun, noise.get: launch a version once more, and what such launches say of the noise."""

from functools import partial

from msgspec.structs import replace

from ardaemon.core import protocol as p
from ardaemon.core.layout import Experiment
from ardaemon.experiment.state import State
from ardaemon.handlers import launches
from ardaemon.handlers.context import Context
from ardaemon.handlers.lookup import named
from ardaemon.judging.noise import plainly
from ardaemon.pipeline import asked_again, measures
from ardaemon.pipeline.measures import LATER, LaidOut
from ardaemon.rpc.dispatch import Notify


class Measures:
    """The methods on launches that get no verdict."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board

    async def run_rerun(self, params: p.Rerun, _: Notify) -> p.Reruns:
        """Launch a run's version with other seeds; all is on disk when this returns."""
        self.board.require_room()
        experiment = await self.context.resolve(params.project, params.expr)
        run_id = await named(self.context, experiment, params.run_id)
        inventory = await self.context.overseer.usable()
        caller = asked_again.Caller(
            self.context.config.now, self.context.fingerprint_key, self.context.started_here, inventory
        )
        async with self.context.changing(experiment):
            work = partial(self._laid_out, experiment, run_id, params, caller)
            done = await self.context.do(experiment, work)
            flights = [measures.put_on(self.board, experiment, one) for one in done]
        return p.Reruns(expr=experiment.slug, run_id=run_id, runs=tuple(f.run.run_id for f in flights))

    def _laid_out(
        self, experiment: Experiment, run_id: str, params: p.Rerun, caller: asked_again.Caller
    ) -> list[LaidOut]:
        entries, records = self.context.host.active, caller.started_here.records
        done = [
            measures.lay_out(experiment, launch, entries, self.board.next_seq(), records, LATER)
            for launch in asked_again.launches(experiment, run_id, params, caller)
        ]
        return [one for one in done if one is not None]

    async def noise_get(self, params: p.WhichRun, _: Notify) -> p.NoiseView:
        """Return what all launches of a run's version say of the noise."""
        experiment = await self.context.resolve(params.project, params.expr)
        current = await self.context.load(experiment)
        best = current.best.run_id if current.best is not None else None
        look = partial(_noise, experiment, params.run_id or best, current)
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
