"""Looks through an experiment's runs/, whatever else somebody has put there."""

from collections.abc import Iterator

from ardaemon.core.folders import Look, listing
from ardaemon.core.layout import RUN_ID, Experiment
from ardaemon.host import state


def ids(experiment: Experiment) -> Iterator[str]:
    """Yield the ids of the runs that have a folder, in no order; no measurements. Raises StorageError."""
    return (name for name in names(experiment) if RUN_ID.fullmatch(name))


def names(experiment: Experiment) -> Iterator[str]:
    """Yield all names in runs/, in no order; none if there is no such folder. Raises StorageError."""
    if not experiment.runs.is_dir():
        return
    with state.reading(experiment.runs):
        yield from (one.name for one in listing(str(experiment.runs), Look(experiment.runs), follow=True))
