"""run.compare: what two runs have measured, seed by seed, and how far apart they are."""

from collections.abc import Iterable, Mapping
from functools import partial

from ardaemon.core import protocol as p
from ardaemon.core.interval import mean_of, of_values
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Contract, SeedValue
from ardaemon.handlers import launches
from ardaemon.handlers.context import Context
from ardaemon.handlers.launches import Launch
from ardaemon.handlers.lookup import named
from ardaemon.rpc.dispatch import Notify

Values = Mapping[int, float]  # by seed


class Compares:
    """The method that sets two runs side by side."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def run_compare(self, params: p.Compare, _: Notify) -> p.CompareView:
        """Return the values of two runs; those of a run without a result yet are none."""
        experiment = await self.context.resolve(params.project, params.expr)
        for run_id in (params.run_id, params.other):
            await named(self.context, experiment, run_id)
        contract = (await self.context.load(experiment)).contract
        look = partial(_compared, experiment, contract, params.run_id, params.other)
        return await self.context.ask(experiment, look)


def _compared(experiment: Experiment, contract: Contract, run_id: str, other: str) -> p.CompareView:
    ours, theirs = (list(launches.of(experiment, each, contract)) for each in (run_id, other))
    conditions = _common(ours, theirs)
    values, others = (_by_seed(each, conditions) for each in (ours, theirs))
    return p.CompareView(
        expr=experiment.slug,
        metric=contract.primary.metric,
        direction=contract.primary.direction,
        run_id=run_id,
        other=other,
        values=_measured(values),
        other_values=_measured(others),
        comparable=conditions is not None or not ours or not theirs,
        difference=_difference(values, others) if conditions is not None else None,
    )


def _common(ours: Iterable[Launch], theirs: Iterable[Launch]) -> str | None:
    """Return the conditions under which both have values; of several those with most values of both."""
    counts = [{one.conditions: 0 for one in each} for each in (ours, theirs)]
    for count, each in zip(counts, (ours, theirs), strict=True):
        for one in each:
            count[one.conditions] += 1
    both = [conditions for conditions in counts[0] if conditions in counts[1]]
    return max(both, key=lambda one: min(count[one] for count in counts), default=None)


def _by_seed(found: Iterable[Launch], conditions: str | None) -> Values:
    """Return the first value with each seed; without common conditions those of the first launch count."""
    values: dict[int, float] = {}
    for one in found:
        conditions = conditions or one.conditions
        if one.conditions == conditions and one.time == 1:
            values.setdefault(one.seed, one.value)
    return dict(sorted(values.items()))


def _measured(values: Values) -> p.Measured:
    if not values:
        return p.Measured()
    interval = of_values([*values.values()])
    return p.Measured(
        values=tuple(SeedValue(seed=seed, value=value) for seed, value in values.items()),
        mean=mean_of([*values.values()]),
        low=interval and interval.low,
        high=interval and interval.high,
    )


def _difference(ours: Values, theirs: Values) -> p.Difference | None:
    """Return how far apart the values are with the seeds that both have; None where there is no such seed."""
    apart = [value - theirs[seed] for seed, value in ours.items() if seed in theirs]
    if not apart:
        return None
    interval = of_values(apart)
    return p.Difference(
        mean=mean_of(apart), low=interval and interval.low, high=interval and interval.high, seeds=len(apart)
    )
