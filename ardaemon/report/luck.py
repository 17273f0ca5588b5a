"""Under --verdict noise: what reruns have shown since the verdict, and the luckiest value ever seen. Pure.

Those of the best, and of the bests before it, lie in best.json; `arctl rerun` makes them of any run.
"""

import math
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from ardaemon.core.facts import RunFacts
from ardaemon.core.interval import Z_90, mean_of
from ardaemon.core.layout import RUN_ID
from ardaemon.core.model import Best, Direction, SeedValue
from ardaemon.core.summary import Luck, Lucky
from ardaemon.report.reading import rank

Values = Mapping[str, tuple[SeedValue, ...]]


class Reruns:
    """Adds to a run what later launches of its version have shown."""

    def __init__(self, best: Best | None, luck: Luck | None, more: Values) -> None:
        self.best, self.luck, self.more = best, luck, more
        self.kept = dict(_kept(best)) if best is not None and luck is not None else {}

    def told(self, run: RunFacts) -> RunFacts:
        """Return the run with all its values; the best and a baseline also with their mean as it is now."""
        if self.best is None or self.luck is None:
            return run
        kept, more = self.kept.get(run.run_id, ()), self.more.get(run.run_id, ())
        if kept:
            run = self._as_now(replace(run, values=_merged(kept, more)), self.best, self.luck)
        elif more and run.value is not None and run.conditions == self.best.conditions:
            run = replace(run, values=_merged(more, run.values or (SeedValue(seed=0, value=run.value),)))
        return run

    def _as_now(self, run: RunFacts, best: Best, luck: Luck) -> RunFacts:
        if run.run_id == best.run_id:
            return replace(run, estimate=luck.mean, estimate_sd=(luck.high - luck.low) / (2 * Z_90))
        known = [one.value for one in run.values if one.value is not None]
        if run.estimate is not None or not known:
            return run
        return replace(run, estimate=mean_of(known), estimate_sd=luck.noise / math.sqrt(len(known)))


def _merged(values: tuple[SeedValue, ...], more: tuple[SeedValue, ...]) -> tuple[SeedValue, ...]:
    """Return all of them by seed; where both have a seed, that of `more` counts."""
    by_seed = {one.seed: one for one in (*values, *more)}
    return tuple(by_seed[seed] for seed in sorted(by_seed))


def _kept(best: Best) -> Iterator[tuple[str, tuple[SeedValue, ...]]]:
    """Yield the best and the bests before it with their values; a seed without one is among them."""
    yield from (
        (one.run_id, _by_seed(one.values)) for one in best.earlier if _is_told(one.run_id, one.values)
    )
    if _is_told(best.run_id, best.values):
        yield best.run_id, _by_seed(best.values)


def _is_told(run_id: str, values: tuple[float | None, ...]) -> bool:
    return bool(values) and RUN_ID.fullmatch(run_id) is not None


def _by_seed(values: tuple[float | None, ...]) -> tuple[SeedValue, ...]:
    return tuple(SeedValue(seed=seed, value=value) for seed, value in enumerate(values))


class Luckiest:
    """Finds the best value that any single launch has shown; of equal ones the earlier run's."""

    def __init__(self, direction: Direction) -> None:
        self.direction = direction
        self._found: tuple[float, str, int, float] | None = None

    def add(self, run: RunFacts, value: float | None) -> None:
        """Take in one more run; `value` is None where it cannot be compared."""
        if value is None or not run.valid or run.tainted or run.measure:
            return
        for one in run.values or (SeedValue(seed=0, value=value),):
            if one.value is not None and one.status == "ok" and math.isfinite(one.value):
                place = rank(one.value, self.direction)
                if self._found is None or place < self._found[0]:
                    self._found = place, run.run_id, one.seed, one.value

    def beside(self, luck: Luck | None) -> Luck | None:
        """Return what is known of the best, with the luckiest value beside it."""
        if luck is None or self._found is None:
            return luck
        place, run_id, seed, value = self._found
        ahead = max(rank(luck.mean, self.direction) - place, 0.0)
        return replace(luck, luckiest=Lucky(run_id=run_id, seed=seed, value=value, flatters=ahead))
