"""The chain of a project's experiments: which one is current, how many may follow, who came before."""

import contextlib

from ardaemon.core.errors import (
    CorruptState,
    ForeignOwner,
    UnknownSchema,
    UsageError,
)
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Chain
from ardaemon.host import state


def chain_of(experiment: Experiment) -> Chain | None:
    """Return the project's chain if this experiment is its current link, else None."""
    chain = state.read(Project(experiment.project).chain, Chain)
    return chain if chain is not None and chain.current_slug == experiment.slug else None


def parent(experiment: Experiment) -> Experiment | None:
    """Return the experiment before this one in the chain; None if there is none, or it is unreadable."""
    project = Project(experiment.project)
    with contextlib.suppress(CorruptState, UnknownSchema, UsageError, ForeignOwner):
        chain = state.read(project.chain, Chain)
        trail = chain.chain_trail if chain is not None else ()
        if experiment.slug in trail[1:]:
            return project.experiment(trail[trail.index(experiment.slug, 1) - 1])
    return None


def start_chain(experiment: Experiment, remaining: int) -> None:
    """Make this experiment the current link of the project's chain; `remaining` more may follow it."""
    path = Project(experiment.project).chain
    before = state.read(path, Chain)
    trail = before.chain_trail if before else ()
    if experiment.slug not in trail:
        trail = (*trail, experiment.slug)
    state.write(path, Chain(current_slug=experiment.slug, chain_remaining=remaining, chain_trail=trail))
