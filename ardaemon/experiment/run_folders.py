"""Looks through an experiment's runs/, whatever else somebody has put there."""

from collections.abc import Iterator

from ardaemon.core.folders import Look, listing
from ardaemon.core.layout import RUN_ID, Experiment
from ardaemon.host import state


def ids(experiment: Experiment) -> Iterator[str]:
    """Yield the ids of the runs that have a folder, in no order; no measurements. Raises StorageError."""
    if not experiment.runs.is_dir():
        return
    with state.reading(experiment.runs):
        for one in listing(str(experiment.runs), Look(experiment.runs), follow=True):
            if RUN_ID.fullmatch(one.name):
                yield one.name
