"""Looks through an experiment's runs/, whatever else somebody has put there."""

from collections.abc import Iterator

from ardaemon.core.folders import Look, listing
from ardaemon.core.layout import RUN_ID, Experiment, Run
from ardaemon.host import state


def of(experiment: Experiment) -> Iterator[Run]:
    """Yield the runs that have a folder, in no order; measurements are none. Raises StorageError."""
    if not experiment.runs.is_dir():
        return
    with state.reading(experiment.runs):
        for one in listing(str(experiment.runs), Look(experiment.runs), follow=True):
            if RUN_ID.fullmatch(one.name):
                yield experiment.run(one.name)
