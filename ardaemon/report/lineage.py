"""The experiments that led to this one, by what each wrote down when it was begun (chain_decision.json)."""

import contextlib

from msgspec import Struct

from ardaemon.core.errors import ArdaemonError, UsageError
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Direction, Primary, Record
from ardaemon.core.summary import Link
from ardaemon.core.text import one_line
from ardaemon.host import state
from ardaemon.report.reading import RUN_ID

LINKS_MAX = 8  # experiments that are named; a chain may be longer
RATIONALE_MAX = 1_000  # characters that are kept of each rationale


class ParentPrimary(Struct, frozen=True, kw_only=True):
    """The metric of the experiment before, and its best when the next one was begun."""

    name: str
    direction: Direction = "min"
    best_value: float | None = None
    best_run: str | None = None


class Decision(Record, frozen=True, kw_only=True):
    """What a report needs of chain_decision.json."""

    parent_expr: str
    parent_primary: ParentPrimary | None = None
    rationale: str = ""


def lineage(experiment: Experiment) -> tuple[Link, ...]:
    """Return the chain up to this experiment, oldest first; () if it follows no other."""
    links: list[Link] = []
    at: Experiment | None = experiment
    reached: ParentPrimary | None = None
    while at is not None and len(links) < LINKS_MAX and at.slug not in (link.expr for link in links):
        decision = decision_of(at)
        links.insert(0, _link(at, decision, reached))
        at, reached = _parent(at, decision), decision.parent_primary if decision is not None else None
    return tuple(links) if len(links) > 1 else ()


def _parent(experiment: Experiment, decision: Decision | None) -> Experiment | None:
    """Return the experiment that the decision names; None if it names none."""
    if decision is not None:
        with contextlib.suppress(UsageError):  # its name is no experiment's
            return Project(experiment.project).experiment(decision.parent_expr)
    return None


def decision_of(experiment: Experiment) -> Decision | None:
    """Return why the experiment was begun; None if nothing says so, or what does cannot be read."""
    with contextlib.suppress(ArdaemonError):
        return state.read(experiment.decision, Decision)
    return None


def _link(experiment: Experiment, decision: Decision | None, reached: ParentPrimary | None) -> Link:
    return Link(
        expr=experiment.slug,
        rationale=one_line(decision.rationale, RATIONALE_MAX) if decision is not None else "",
        primary=None if reached is None else Primary(metric=reached.name, direction=reached.direction),
        value=None if reached is None else reached.best_value,
        run_id=reached.best_run if reached is not None and RUN_ID.fullmatch(reached.best_run or "") else None,
    )
