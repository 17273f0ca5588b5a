"""run.rerun, noise.get: launch a version once more, and what such launches say of the noise."""

from functools import partial

from ardaemon.core import protocol as p
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Contract
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
        look = partial(_noise, experiment, params.run_id or best, current.contract)
        return await self.context.ask(experiment, look)


def _noise(experiment: Experiment, run_id: str | None, contract: Contract) -> p.NoiseView:
    """Read the values of a version's launches; without a run there are none."""
    metric = contract.primary.metric
    if run_id is None:
        return p.NoiseView(expr=experiment.slug, run_id="", metric=metric)
    found = sorted(launches.of(experiment, run_id, contract))
    known = [one.value for one in found if one.time == 1]
    same = [one.value for one in found if one.seed == 0]
    noise = plainly.of(known, same)
    return p.NoiseView(
        expr=experiment.slug,
        run_id=run_id,
        metric=metric,
        values=tuple(known),
        same=tuple(same),
        said=plainly.advice(noise, metric) if noise is not None else (),
    )
