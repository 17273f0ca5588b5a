"""Reads what a report needs of an experiment's files: what they say of it as a whole, and run after run.

To take in all runs holds the interpreter's lock, for which the daemon's other threads wait. So it is done in
pieces of a millisecond, and whoever does it lets others have their turn between two of them.
"""

import contextlib
from collections.abc import Callable
from itertools import islice

from ardaemon.core.errors import ForeignOwner, UsageError
from ardaemon.core.facts import RunFacts
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Session
from ardaemon.experiment import facts, program
from ardaemon.experiment.state import State
from ardaemon.report.lineage import lineage
from ardaemon.report.tally import Frame

PIECE = 128  # runs, each of some 6 µs


class Pass:
    """One pass over the runs of an experiment, oldest first; `take` gets each of them."""

    def __init__(self, experiment: Experiment, take: Callable[[RunFacts], None]) -> None:
        self.take = take
        self.runs = facts.read(experiment)

    def step(self) -> bool:
        """Take in the next runs, and return whether there may be more."""
        taken = 0
        for run in islice(self.runs, PIECE):
            self.take(run)
            taken += 1
        return taken == PIECE


def frame(experiment: Experiment, state: State) -> Frame:
    """Return what the files say of the experiment beside its runs."""
    settings = state.session.settings
    limits = (*state.contract.constraints, *(settings.constraints if settings is not None else ()))
    return Frame(
        expr=experiment.slug,
        primary=state.contract.primary,
        goal=_goal(experiment),
        constraints=tuple(dict.fromkeys(limits)),
        session=_standing(state.session),
        best=state.best,
        chain=lineage(experiment),
    )


def _goal(experiment: Experiment) -> str:
    """Return the goal of program.md; "" if the file cannot be read, which other commands say."""
    with contextlib.suppress(UsageError, ForeignOwner):
        return program.read_front(experiment)[1].goal
    return ""


def _standing(session: Session) -> str:
    if session.live:
        return "live"
    if session.settings is None:
        return "not started"
    return f"over ({session.terminated_by or 'stopped'})"
