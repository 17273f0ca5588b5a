"""The links of a chain as they are shown: bounded, and whatever stands in their files."""

from pathlib import Path
from typing import TypeVar

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Best, ChainDecision, Record, Session
from ardaemon.core.protocol import RATIONALE_SHOWN, ChainLink, ChainView
from ardaemon.core.text import one_line
from ardaemon.experiment import chain
from ardaemon.experiment.started_here import StartedHere
from ardaemon.host import state

R = TypeVar("R", bound=Record)


def view(project: Project, last: int, started_here: StartedHere) -> ChainView:
    """Return the chain with its last links. Raises Refused if there is none."""
    current = chain.require(project)
    trail = current.chain_trail
    earlier = max(len(trail) - last, 0)
    warnings: list[str] = []
    links = [
        _link(project.experiment(slug), earlier + at, started_here, warnings)
        for at, slug in enumerate(trail[earlier:], 1)
    ]
    return ChainView(
        project=str(project.folder),
        expr=current.current_slug,
        chain_mode=current.mode,
        chain_remaining=current.left,
        chain_trail=trail[earlier:],
        links=tuple(links),
        earlier=earlier,
        warnings=tuple(warnings),
    )


def _link(experiment: Experiment, position: int, started_here: StartedHere, warnings: list[str]) -> ChainLink:
    session = _read(experiment.session, Session, warnings)
    decision = _read(experiment.decision, ChainDecision, warnings)
    return ChainLink(
        expr=experiment.slug,
        position=position,
        best=_read(experiment.best, Best, warnings),
        live=session is not None and session.live and started_here.knows(session),
        terminated_by=session.terminated_by if session is not None else None,
        parent=decision.parent_expr if decision is not None else None,
        rationale=one_line(decision.rationale, RATIONALE_SHOWN) if decision is not None else None,
    )


def _read(path: Path, kind: type[R], warnings: list[str]) -> R | None:
    """Return what a file of a link holds; None where it is missing, or broken: then a warning says so."""
    try:
        return state.read(path, kind)
    except ArdaemonError as error:
        warnings.append(error.message)
        return None
