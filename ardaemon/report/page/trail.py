"""Chooses the experiments of a chain that stand in the page beside the one that was asked for."""

import contextlib

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, Project
from ardaemon.experiment import chain
from ardaemon.report.lineage import lineage

LINKS_MAX = 8  # tabs: the last ones of the chain, or from the one that was asked for on


def slugs(experiment: Experiment) -> list[str]:
    """Return the names of the experiments in the order of the chain; its own name is one of them."""
    trail = _trail(experiment)
    first = min(max(len(trail) - LINKS_MAX, 0), trail.index(experiment.slug))
    return trail[first : first + LINKS_MAX]


def _trail(experiment: Experiment) -> list[str]:
    """Return the project's chain if the experiment is a link of it, else what led to the experiment."""
    with contextlib.suppress(ArdaemonError):  # its file is broken: other commands say so
        current = chain.of_project(Project(experiment.project))
        if current is not None and experiment.slug in current.chain_trail:
            return [*current.chain_trail]
    return [link.expr for link in lineage(experiment)] or [experiment.slug]
