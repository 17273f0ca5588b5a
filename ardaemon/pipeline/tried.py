"""Refuse a train.py that was run before: before a run is wasted on it.

Two versions are the same if they do the same (source/normal.py), under the same conditions and environment.
What failed may be tried again, for it may have failed by accident. So may a run that does not show what its
text gives: it was measured under unfair conditions, or its file was rewritten as it ran.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ardaemon.core.errors import Refused, UnderWay
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Best
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment import history, same
from ardaemon.experiment.same import Tried, Version
from ardaemon.experiment.state import State

AGAIN = "arctl run --again"


class Look(NamedTuple):
    """What is known of a version that may be run: its normal form, and whether it is the best once more."""

    normal: str = ""
    measure: bool = False


def look(
    experiment: Experiment,
    current: State,
    data: bytes,
    version: Version,
    normal_of: Callable[[bytes], str],
    under_way: Iterable[RunRecord],
    again: bool,
) -> Look:
    """Look whether the version `data` was run before.

    Raises Refused and UnderWay where it was, unless it shall run `again`. Before there is a best nothing is
    compared: so nobody asks for a normal form, which takes a moment.
    """
    best = current.best
    if best is None:
        return Look()
    unchanged = _is_unchanged(experiment, best, version)
    if unchanged and not again and _counts(experiment, best):
        raise _is_the_best(best)
    version = version._replace(normal=normal_of(data))
    if not again:
        _require_none_under_way(current, version, under_way)
    tried = same.find(experiment, version, normal_of)
    measure = unchanged or (tried is not None and tried.record.run_id == best.run_id)
    if tried is not None and not again:
        if not measure:
            raise _was_tried(tried)
        raise _is_the_best(best) if unchanged else _does_as_the_best(best)
    return Look(version.normal, measure)


def _is_unchanged(experiment: Experiment, best: Best, version: Version) -> bool:
    """Tell whether these are the best's bytes, under the best's circumstances."""
    if best.sha256 != version.sha256:
        return False
    record = history.record_of(experiment.run(best.run_id))
    return record is not None and same.is_same(version, same.version_of(record, best.conditions))


def _counts(experiment: Experiment, best: Best) -> bool:
    """Tell whether the best shows what its text gives; where its files are gone, best.json stands for it."""
    run = experiment.run(best.run_id)
    record = history.record_of(run)
    result = history.committed(run, record)
    return record is None or result is None or same.counts(record, result)


def _require_none_under_way(current: State, version: Version, under_way: Iterable[RunRecord]) -> None:
    for record in under_way:
        if not same.may_be_same(version, record):
            continue
        conditions = same.conditions(record, current.contract)
        if same.is_same(version, same.version_of(record, conditions)):
            raise UnderWay(
                f"train.py is the same as {record.run_id}, which is not judged yet",
                f"arctl wait {record.run_id}; to run it once more: {AGAIN}",
                {"run_id": record.run_id},
            )


def _is_the_best(best: Best) -> Refused:
    return Refused(
        f"train.py is {best.run_id} unchanged, the best ({best.primary.metric} {best.value:.6g}):"
        " was the edit saved?",
        f"save the edit; to measure the best again: {AGAIN}",
        {"run_id": best.run_id},
    )


def _does_as_the_best(best: Best) -> Refused:
    return Refused(
        f"train.py does the same as {best.run_id}, the best ({best.primary.metric} {best.value:.6g}):"
        " only layout, comments or the note differ",
        f"change what it does; to measure the best again: {AGAIN}",
        {"run_id": best.run_id},
    )


def _was_tried(tried: Tried) -> Refused:
    result = tried.result
    return Refused(
        f"train.py is the same as {result.run_id} but for layout, comments and note"
        f" ({result.verdict}, {result.primary.name} {result.primary.value:.6g})",
        f"try something else; to run it once more: {AGAIN}",
        {"run_id": result.run_id},
    )
