"""The experiments that led to this one, by what each wrote down when it was begun (chain_decision.json)."""

import contextlib

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import RUN_ID, Experiment, Project
from ardaemon.core.model import ChainDecision, ParentPrimary, Primary
from ardaemon.core.summary import Link
from ardaemon.core.text import one_line
from ardaemon.host import state

LINKS_MAX = 8  # experiments that are named; a chain may be longer
RATIONALE_MAX = 1_000  # characters that are kept of each rationale


def lineage(experiment: Experiment) -> tuple[Link, ...]:
    """Return the chain up to this experiment, oldest first; () if it follows no other."""
    links: list[Link] = []
    at: Experiment | None = experiment
    reached: ParentPrimary | None = None
    while at is not None and len(links) < LINKS_MAX and at.slug not in (link.expr for link in links):
        decision = _decision(at)
        links.insert(0, _link(at, decision, reached))
        at = Project(at.project).experiment(decision.parent_expr) if decision is not None else None
        reached = decision.parent_primary if decision is not None else None
    return tuple(links) if len(links) > 1 else ()


def _decision(experiment: Experiment) -> ChainDecision | None:
    """Return why the experiment was begun; None if nothing says so, or what does cannot be read."""
    with contextlib.suppress(ArdaemonError):
        return state.read(experiment.decision, ChainDecision)
    return None


def _link(experiment: Experiment, decision: ChainDecision | None, reached: ParentPrimary | None) -> Link:
    return Link(
        expr=experiment.slug,
        rationale=one_line(decision.rationale, RATIONALE_MAX) if decision is not None else "",
        primary=None if reached is None else Primary(metric=reached.name, direction=reached.direction),
        value=None if reached is None else reached.best_value,
        run_id=reached.best_run if reached is not None and RUN_ID.fullmatch(reached.best_run) else None,
    )
