"""Which experiment is meant, where the client does not say."""

from pathlib import Path

from ardaemon.core.errors import AmbiguousExperiment, ArdaemonError, UnknownExperiment, UsageError
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Chain, Session
from ardaemon.experiment import state as experiments
from ardaemon.host import state

# Two experiments changed within this time: the last change says nothing about which is meant.
CLOSE_S = 60.0


def resolve(project: str, expr: str | None) -> Experiment:
    """The named one; else the only live one, the chain's current one, the last changed one."""
    folder = Path(project)
    if not folder.is_absolute():
        raise UsageError(f"project {project[:80]!r} is not an absolute path", "")
    with state.storage("look into", folder):
        return _find(folder, expr)


def _find(folder: Path, expr: str | None) -> Experiment:
    if expr is not None:
        return experiments.find(folder, expr)
    known = Project(folder).experiments()
    if not known:
        raise UnknownExperiment(f"there is no experiment in {folder}", "create one with: arctl init")
    if len(known) == 1:
        return known[0]
    return _only_live(known) or _current(folder, known) or _last_changed(known)


def _only_live(known: list[Experiment]) -> Experiment | None:
    live = [experiment for experiment in known if _is_live(experiment)]
    if len(live) > 1:
        raise _ambiguous(live, "several experiments have a live session")
    return live[0] if live else None


def _is_live(experiment: Experiment) -> bool:
    try:
        session = state.read(experiment.session, Session)
    except ArdaemonError:
        return False  # told of, and repaired, when that experiment itself is used
    return session is not None and session.live


def _current(folder: Path, known: list[Experiment]) -> Experiment | None:
    chain = state.read(Project(folder).chain, Chain)
    return next((e for e in known if chain is not None and e.slug == chain.current_slug), None)


def _last_changed(known: list[Experiment]) -> Experiment:
    times = sorted(((_changed(e), e.slug, e) for e in known), reverse=True)
    newest = [e for when, _, e in times if times[0][0] - when < CLOSE_S]
    if len(newest) > 1:
        raise _ambiguous(newest, "several experiments were changed within a minute")
    return newest[0]


def _changed(experiment: Experiment) -> float:
    try:
        return experiment.session.stat().st_mtime
    except OSError:
        return 0.0


def _ambiguous(candidates: list[Experiment], why: str) -> AmbiguousExperiment:
    slugs = [experiment.slug for experiment in candidates]
    return AmbiguousExperiment(
        f"{why}: {', '.join(slugs)}", "say which with --expr SLUG or AR_EXPR", {"candidates": slugs}
    )
