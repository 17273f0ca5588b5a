"""What the launches of a version have measured, read from their files. It blocks."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Best, Contract, Result, SeedValue, Settings
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment import history, same, seal
from ardaemon.pipeline import measures, noise_history

REREAD_MOST = 1_000  # results that a report reads: some 0.1 s


class Launch(NamedTuple):
    """One launch with a fair value: its seed, the how many-th value with that, and how it was measured."""

    seed: int
    time: int
    value: float
    conditions: str  # two values are comparable where these are equal


def of(experiment: Experiment, run_id: str, contract: Contract) -> Iterator[Launch]:
    """Yield a run's own launches, then those of its version that `arctl rerun` or the daemon made later.

    The values of runs that failed, or that were measured under unfair conditions, are left out.
    """
    own = experiment.run(run_id)
    if (found := _committed(own)) is not None:
        record, result = found
        for seed, value in enumerate(noise_history.by_seed(result)):
            if value is not None:
                yield Launch(seed, 1, value, _conditions(record, contract))
    for launch in measures.launched(experiment, run_id):
        found = _committed(launch.run)
        if found is not None and found[1].values and (value := found[1].values[0].value) is not None:
            # Another seed is launched again only if the launch before came to nothing.
            time = launch.time if launch.seed == 0 else 1
            yield Launch(launch.seed, time, value, _conditions(found[0], contract))


def beside_best(experiment: Experiment, best: Best, contract: Contract) -> dict[str, tuple[SeedValue, ...]]:
    """Return what reruns have measured, by their run, that best.json does not have: of runs that are no best.

    Those under other conditions than the best's are left out.
    """
    bests = [(best.run_id, best.values), *((one.run_id, one.values) for one in best.earlier)]
    known = {(run_id, seed) for run_id, values in bests for seed in range(len(values))}
    more = (one for one in measures.launched(experiment) if one.seed and (one.of, one.seed) not in known)
    values: dict[str, dict[int, float]] = {}
    for launch in islice(more, REREAD_MOST):
        found = _committed(launch.run)
        if found is None or same.conditions(found[0], contract) != best.conditions:
            continue
        if found[1].values and (value := found[1].values[0].value) is not None:
            values.setdefault(launch.of, {})[launch.seed] = value
    return {
        run_id: tuple(SeedValue(seed=seed, value=value) for seed, value in sorted(by_seed.items()))
        for run_id, by_seed in values.items()
    }


def comparable(found: Iterable[Launch], conditions: str | None) -> list[Launch]:
    """Return the launches under these conditions, by seed; without any, those under the first one's."""
    launches = [*found]
    if not any(one.conditions == conditions for one in launches):
        conditions = launches[0].conditions if launches else None
    return sorted(one for one in launches if one.conditions == conditions)


def conditions_now(settings: Settings | None, contract: Contract) -> str | None:
    """Return the conditions under which the session measures now; None before the first one."""
    if settings is None:
        return None
    return f"{seal.fingerprint(contract)} {seal.conditions(settings, contract)}"


def _committed(run: Run) -> tuple[RunRecord, Result] | None:
    """Return the run's record and result, if it ended well and its value stands."""
    record = history.record_of(run)
    result = history.committed(run, record)
    if record is None or result is None or result.status != "ok" or result.tainted is not None:
        return None
    return record, result


def _conditions(record: RunRecord, contract: Contract) -> str:
    """Return what makes values comparable, also of two runs under a seal of before."""
    return f"{record.seal} {seal.conditions(record.settings, contract)}"
