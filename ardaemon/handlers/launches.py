"""What the launches of a version have measured, read from their files. It blocks."""

from collections.abc import Iterator
from typing import NamedTuple

from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Contract, Result
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment import history, seal
from ardaemon.pipeline import measures, noise_history


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
            # Another seed is launched again only if the launch before gave way, and has no value.
            time = launch.time if launch.seed == 0 else 1
            yield Launch(launch.seed, time, value, _conditions(found[0], contract))


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
