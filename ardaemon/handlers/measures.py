"""run.rerun, noise.get: launch a version once more, and what such launches say of the noise."""

from functools import partial

from ardaemon.core import protocol as p
from ardaemon.core.events import RunSubmitted
from ardaemon.core.folders import Look, listing
from ardaemon.core.layout import MEASURE_ID, Experiment
from ardaemon.experiment import history
from ardaemon.experiment.repair import load_or_repair
from ardaemon.handlers.context import Context
from ardaemon.handlers.lookup import named
from ardaemon.judging.noise import plainly
from ardaemon.pipeline import asked_again, measures, noise_history
from ardaemon.pipeline.flight import Flight
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
            flights = [self._queued(experiment, one) for one in await self.context.do(experiment, work)]
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

    def _queued(self, experiment: Experiment, one: LaidOut) -> Flight:
        flight = Flight(experiment, one.run, one.active, one.record, one.entry)
        self.board.add(flight)
        self.board.tell(
            flight, RunSubmitted(base=one.record.base, note="", to_disk_ms=None, of=one.record.of)
        )
        return flight

    async def noise_get(self, params: p.WhichRun, _: Notify) -> p.NoiseView:
        """Return what all launches of a run's version say of the noise."""
        experiment = await self.context.resolve(params.project, params.expr)
        run_id = params.run_id or await self._best(experiment)
        return await self.context.ask(experiment, partial(_noise, experiment, run_id))

    async def _best(self, experiment: Experiment) -> str | None:
        best = (await self.context.load(experiment)).best
        return best.run_id if best is not None else None


def _noise(experiment: Experiment, run_id: str | None) -> p.NoiseView:
    """Read the values of a version's launches; without a run there are none."""
    metric = load_or_repair(experiment).contract.primary.metric
    if run_id is None:
        return p.NoiseView(expr=experiment.slug, run_id="", metric=metric)
    values, same = _values(experiment, run_id)
    known = [value for _, value in sorted(values.items())]
    noise = plainly.of(known, same)
    return p.NoiseView(
        expr=experiment.slug,
        run_id=run_id,
        metric=metric,
        values=tuple(known),
        same=tuple(same),
        said=plainly.advice(noise, metric) if noise is not None else (),
    )


def _values(experiment: Experiment, run_id: str) -> tuple[dict[int, float], list[float]]:
    """Return the values of a version's launches, by seed, and all of those with the first seed."""
    run = experiment.run(run_id)
    result = history.committed(run, history.record_of(run))
    first = noise_history.by_seed(result) if result is not None else ()
    values = {seed: value for seed, value in enumerate(first) if value is not None}
    same = [values[0]] if 0 in values else []
    for entry in listing(str(experiment.runs), Look(experiment.runs), follow=True):
        match = MEASURE_ID.fullmatch(entry.name)
        one = experiment.run(entry.name) if match is not None and match[1] == run_id else None
        told = history.committed(one, history.record_of(one)) if one is not None else None
        if match is None or told is None or not told.values or told.values[0].value is None:
            continue
        if match[3] is not None:
            same.append(told.values[0].value)
        else:
            values[int(match[2])] = told.values[0].value
    return values, same
