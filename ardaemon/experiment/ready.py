"""Decides whether a session takes a run now, and which version train.py goes back to."""

from ardaemon.core import lost_runs
from ardaemon.core.errors import (
    Refused,
    SessionNotLive,
)
from ardaemon.core.layout import Experiment
from ardaemon.core.mends import go_on, keep_best, measure_anew, session_anew
from ardaemon.core.model import Placed, Session, Settings
from ardaemon.experiment import checks, placing, seal
from ardaemon.experiment.chain import chain_of
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import State, fallback_run
from ardaemon.experiment.unclean import require_no_unclean

BY_OTHERS = ("manual", "unclean", "chained", "stopped")  # sessions that no limit of their own has ended


def require_ready(experiment: Experiment, current: State, started_here: StartedHere) -> Settings:
    """Return the session's settings. Raises Refused if no run may be taken now, with the way to go on."""
    require_no_unclean(experiment)
    session = current.session
    lost_runs.require(experiment, session.settings is not None)
    if session.settings is None:
        raise SessionNotLive(f"{experiment.slug} has no session yet", "arctl session start --seconds N")
    if not session.live:
        raise _over(experiment, session, session.settings, started_here.knows(session))
    started_here.require(experiment, session)
    seal.require(experiment, current.contract, session)
    checks.require(experiment, session)
    require_same_primary(experiment.slug, current)
    _require_same_conditions(experiment.slug, current, session.settings)
    return session.settings


def _over(experiment: Experiment, session: Session, settings: Settings, known: bool) -> SessionNotLive:
    """Return the error for a session that is over: its chain goes on, or another session would."""
    why, slug = session.terminated_by or "stopped", experiment.slug
    command = go_on(slug) if known else session_anew(settings, slug)
    chain = chain_of(experiment) if known and why not in BY_OTHERS else None
    if chain is not None and chain.left != 0:
        left = "" if chain.left is None else f", {chain.left} left"
        command = f"arctl chain-init (its chain goes on{left}); or with this experiment: {command}"
    return SessionNotLive(f"the session of {slug} is over ({why})", f"go on with: {command}")


def require_same_primary(slug: str, current: State) -> None:
    """Raise Refused if the best was measured by another metric: nothing can be compared with it."""
    best, primary = current.best, current.contract.primary
    if best is not None and best.primary != primary:
        raise Refused(
            f"the best ({best.run_id}) is by {best.primary.metric} ({best.primary.direction}),"
            f" the seal now says {primary.metric} ({primary.direction})",
            f"measure anew: {measure_anew(slug)}",
        )


def _require_same_conditions(slug: str, current: State, settings: Settings) -> None:
    """Raise Refused if another seal was accepted since the session began: a person has to decide anew."""
    best, agreed = current.best, current.session.conditions
    if best is not None and agreed and agreed != seal.conditions(settings, current.contract):
        raise Refused(
            f"another seal was accepted since the session began: the best ({best.value:.6g} @ {best.run_id})"
            " is not comparable any more",
            f"keep it as the one to beat: {keep_best(slug)}; or measure anew: {measure_anew(slug)}",
        )


def version_to_restore(experiment: Experiment, current: State) -> Placed:
    """Return the version that train.py goes back to: the best's snapshot, else the original."""
    run_id = fallback_run(experiment, current.best)
    if current.best is not None and current.best.sha256:
        return Placed(run_id, current.best.sha256)
    return placing.kept(experiment, run_id)
