"""The links of a chain as they are shown: bounded, and whatever stands in their files."""

from pathlib import Path
from typing import TypeVar

from ardaemon.core.errors import ArdaemonError, CorruptState, Refused
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Best, Chain, ChainDecision, Record, Session
from ardaemon.core.protocol import RATIONALE_SHOWN, ChainLink, ChainMade, ChainView
from ardaemon.core.text import one_line
from ardaemon.experiment import chain, chain_generation, checks
from ardaemon.experiment.started_here import StartedHere
from ardaemon.host import state

R = TypeVar("R", bound=Record)


def view(project: Project, last: int, started_here: StartedHere) -> ChainView:
    """Return the chain with its last links. Raises Refused if there is none."""
    current = chain.require(project)
    trail = current.chain_trail
    earlier = max(len(trail) - last, 0)
    warnings = _went_back(project, current)
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


def _went_back(project: Project, current: Chain) -> list[str]:
    try:
        chain_generation.require_newest(project, current)
    except Refused as error:
        return [error.line]
    return []


def made(child: Experiment) -> ChainMade:
    """Return a child that chain.init has made, and the chain as it stands."""
    decision, session = state.read(child.decision, ChainDecision), state.read(child.session, Session)
    if decision is None or session is None:
        raise CorruptState(f"{child.folder} has lost files of the chain's", "arctl chain shows what is there")
    current = chain.require(Project(child.project))
    return ChainMade(
        project=str(child.project),
        expr=child.slug,
        folder=str(child.folder),
        decision=decision,
        session=session,
        chain_mode=current.mode,
        chain_remaining=current.left,
        warnings=(*_warnings(child.slug, decision), *_slips(child, session)),
    )


def _warnings(slug: str, decision: ChainDecision) -> tuple[str, ...]:
    lines = []
    if decision.parent_checkpoint is None:
        lines.append(f"{slug} has no checkpoint of its parent: AR_PARENT_CKPT is not set in its runs")
    if decision.dropped:
        lines.append(
            f"runs of {decision.parent_expr} that waited are cancelled: {', '.join(decision.dropped)}"
        )
    return tuple(lines)


def _slips(child: Experiment, session: Session) -> tuple[str, ...]:
    return () if session.settings is None else checks.slips(session.settings, child.project)


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
        warnings.append("; ".join(filter(None, (error.message, error.mend))))
        return None
