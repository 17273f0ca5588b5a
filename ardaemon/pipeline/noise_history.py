"""The history that the noise verdict replays, from the files: best.json and the results of the last runs.

All its state is there, so a daemon that was killed between two launches decides as if it had not been.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from msgspec.structs import replace

from ardaemon.core.layout import Experiment, run_name, run_number
from ardaemon.core.model import Best, KeptVersion, Result, SeedValue
from ardaemon.experiment import history
from ardaemon.judging.noise.types import RunValues

REVERTED_MOST = 300  # runs that were not kept and are looked at, the last ones: so many are replayed
LOOKED_AT_MOST = 1000  # results that are read for them: others crashed, or broke a constraint
KEPT_MOST = 200  # earlier bests that best.json remembers: 22 are replayed


def judged(experiment: Experiment, best: Best, conditions: str, newest: int) -> list[RunValues]:
    """Return the runs that were judged under these conditions, in the order of their verdicts.

    The first is the version that all others begin from. `newest`: number of the last run. Under other
    conditions than the best's nothing is comparable: it is alone, without a value.
    """
    if best.conditions != conditions:
        return [RunValues(run=best.run_id, values=())]
    kept = [*best.earlier, KeptVersion(run_id=best.run_id, values=values_of(best), p_better=best.p_better)]
    places = _places([run_number(one.run_id) for one in kept])
    runs = {
        place: RunValues(
            run=one.run_id,
            values=one.values,
            advanced=place != places[0],
            p_better=one.p_better,
            rerun_failed=best.rerun_failed and one.run_id == best.run_id,
        )
        for place, one in zip(places, kept, strict=True)
    }
    names = {one.run_id for one in kept}
    for result in _reverted(experiment, run_number(kept[0].run_id), newest):
        if result.run_id not in names:
            place = Place(run_number(result.run_id), 0)
            runs[place] = RunValues(run=result.run_id, values=by_seed(result), advanced=False)
    return [runs[place] for place in sorted(runs)]


class Place(NamedTuple):
    """Where a run stands in the history: after those with a lower number that were judged before it."""

    after: int
    nth: int  # of those that were kept after that number, and have no higher one


def _places(numbers: Sequence[int]) -> list[Place]:
    """Return the places of the runs that were kept, in the order in which they were.

    A run that took long may have been kept after one with a higher number: each is the best after all before.
    """
    return [Place(after, nth) for nth, after in enumerate(accumulate(numbers, max))]


def _reverted(experiment: Experiment, first: int, newest: int) -> Iterator[Result]:
    """Yield the last runs that were not kept and say something about their edit, the newest first."""
    found = 0
    for number in range(newest, max(first, newest - LOOKED_AT_MOST), -1):
        result = history.named(experiment.run(run_name(number)))
        if result is not None and _counts(result):
            found += 1
            yield result
        if found == REVERTED_MOST:
            return


def _counts(result: Result) -> bool:
    stands = result.status == "ok" and result.valid and result.tainted is None and not result.measure
    return stands and result.verdict == "revert" and result.primary.value is not None


def values_of(best: Best) -> tuple[float | None, ...]:
    """Return what the best's launches measured, by seed; of a plain session it was one, with the first."""
    return best.values or (best.value,)


def once_seen(best: Best) -> Best:
    """Return the best with the value of its first seed, which every run of a plain session has.

    That of a noise session is its mean over seeds: with the first seed even the best itself does not give it.
    """
    first = values_of(best)[0]
    return best if first is None else replace(best, value=first)


def comparable(best: Best, conditions: str) -> tuple[float | None, ...]:
    """Return those of them that a value under these conditions can be compared with: all or none."""
    return values_of(best) if best.conditions == conditions else ()


def by_seed(result: Result) -> tuple[float | None, ...]:
    """Return what the run's launches measured, by seed; None where there was no value."""
    return in_order(result.values) or (result.primary.value,)


def in_order(values: tuple[SeedValue, ...]) -> tuple[float | None, ...]:
    """Return the values by their seeds, None for a seed that gave none."""
    found = {one.seed: one.value for one in values}
    return tuple(found.get(seed) for seed in range(max(found, default=-1) + 1))


def remembered(best: Best | None, conditions: str) -> tuple[KeptVersion, ...]:
    """Return the earlier bests as the next one remembers them, this one among them.

    Where there are too many the first stays, which the noise was measured on, and the last ones. One that
    broke a constraint is none: the first run that keeps them is measured as a baseline is.
    """
    if best is None or not best.valid or best.conditions != conditions:
        return ()
    one = KeptVersion(run_id=best.run_id, values=values_of(best), p_better=best.p_better)
    kept = (*best.earlier, one)
    return kept if len(kept) <= KEPT_MOST else (kept[0], *kept[1 - KEPT_MOST :])
