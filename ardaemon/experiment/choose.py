"""Chooses the experiment for a request that names none."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ardaemon.core.errors import AmbiguousExperiment, ArdaemonError, UnknownExperiment
from ardaemon.core.layout import FOLDER, Experiment, Project, is_slug, project_folder
from ardaemon.core.model import Session
from ardaemon.core.project import above, require_ours
from ardaemon.core.words import CHAIN_FIRST, CREATE
from ardaemon.experiment import chain as chains
from ardaemon.experiment import standing
from ardaemon.experiment import state as experiments
from ardaemon.host import state

# If two experiments were changed within this time, the last change does not tell which one is meant.
CLOSE_S = 60.0
SHOWN_MAX = 6  # of several that could be meant, with what tells them apart


class Meant(NamedTuple):
    """The experiment that is meant; `told` names it where another one could have been."""

    experiment: Experiment
    told: str = ""


def resolve(project: str, expr: str | None, trusted: Sequence[str]) -> Experiment:
    """Return the experiment that is meant, as meant() does."""
    return meant(project, expr, trusted).experiment


def meant(project: str, expr: str | None, trusted: Sequence[str]) -> Meant:
    """Return the experiment `expr`; without it the only live, the chain's current or the last changed one.

    A name may come without its date where it is the only one of that name.
    With CHAIN_FIRST in the place of a name, the chain's current one comes before the only live one.
    Raises UsageError: UnknownExperiment, or AmbiguousExperiment if two live or freshly changed ones could be
    meant. Raises ForeignOwner if another user could have put it there, unless the project is in or below one
    of the folders `trusted`.
    """
    folder, name = project_folder(project), None if expr == CHAIN_FIRST else expr
    with state.storage("look into", folder):
        name = name and _whole(folder, name)
        names = (FOLDER,) if name is None else (FOLDER, name)
        require_ours(project, names, lambda: trusted)  # before anything is read there
        if name is not None:
            return Meant(experiments.find(folder, name))
        found = _meant(folder, expr == CHAIN_FIRST)
        require_ours(project, (FOLDER, found.experiment.slug), lambda: trusted)
        return found


def _whole(folder: Path, name: str) -> str:
    """Return the dated name for one that was given without its date, as it was to init: lr-warmup.

    Raises UnknownExperiment if there is none, and AmbiguousExperiment.
    """
    named = [e for e in Project(folder).experiments() if e.slug.partition("-")[2] == name]
    if len(named) > 1:
        raise _ambiguous(named, f"several experiments are named {name}")
    if not named and not is_slug(name):
        raise experiments.unknown(Project(folder), name)
    return named[0].slug if named else name


def require_place(project: Path, trusted: Sequence[str]) -> None:
    """Raise ForeignOwner if another user could choose what runs in a project that has no experiment yet."""
    with state.storage("look into", project):
        require_ours(str(project), (FOLDER,), lambda: trusted)


def _meant(folder: Path, chain_first: bool) -> Meant:
    every = Project(folder).experiments()
    if not every:
        raise UnknownExperiment(f"there is no experiment in {folder}", f"create one with: {CREATE}")
    if len(every) == 1:
        return Meant(every[0])
    if chain_first and (current := _current(folder, every)) is not None:
        return Meant(current)
    certain = _only_live(every) or _current(folder, every)
    return Meant(certain) if certain is not None else _last_changed(every)


def with_above(error: UnknownExperiment, project: Path) -> UnknownExperiment:
    """Return the error of a project without experiments; it names the project above that has some.

    As where somebody stands in a worktree or a submodule inside the project that he means.
    """
    outer = above(str(project))
    every = Project(Path(outer)).experiments() if outer is not None else []
    if not every or Project(project).experiments():
        return error
    live = [experiment for experiment in every if _is_live(experiment)]
    shown = f"{live[0].slug}, whose session is live" if live else every[-1].slug
    return UnknownExperiment(
        f"{error.message}; the project above it, {outer}, has {shown}",
        f"if you mean that one: {shlex.join(['arctl', 'status', '--project', str(outer)])};"
        f" to begin one here: {CREATE}",
        error.data,
    )


def _only_live(every: list[Experiment]) -> Experiment | None:
    live = [experiment for experiment in every if _is_live(experiment)]
    if len(live) > 1:
        raise _ambiguous(live, "several experiments have a live session")
    return live[0] if live else None


def _is_live(experiment: Experiment) -> bool:
    try:
        session = state.read(experiment.session, Session)
    except ArdaemonError:
        return False  # reported and repaired when that experiment itself is used
    return session is not None and session.live


def _current(folder: Path, every: list[Experiment]) -> Experiment | None:
    chain = chains.of_project(Project(folder))
    if chain is None or chain.mode == "disabled":
        return None
    return next((e for e in every if e.slug == chain.current_slug), None)


def _last_changed(every: list[Experiment]) -> Meant:
    """Return the newest, and tell it if others changed in the same minute.

    That is certain enough if it was just made, or the others were, and nothing was done in them since.
    """
    times = sorted(((changed(e), e.slug, e) for e in every), reverse=True)
    newest = [e for when, _, e in times if times[0][0] - when < CLOSE_S]
    if len(newest) == 1:
        return Meant(newest[0])
    if not standing.is_new(newest[0]) and not all(map(standing.is_new, newest[1:])):
        raise _ambiguous(newest, "several experiments were changed within a minute")
    others = ", ".join(e.slug for e in newest[1 : 1 + SHOWN_MAX])
    return Meant(newest[0], f"{newest[0].slug} is meant, the newest; another one: --expr SLUG ({others})")


def changed(experiment: Experiment) -> float:
    """Return when the experiment's state was last written, as time.time(); 0 if it has none."""
    try:
        return experiment.session.stat().st_mtime
    except OSError:
        return 0.0


def _ambiguous(candidates: list[Experiment], why: str) -> AmbiguousExperiment:
    shown = [f"{e.slug} ({standing.in_words(e)})" for e in candidates[:SHOWN_MAX]]
    more = [f"and {len(candidates) - SHOWN_MAX} more"] if len(candidates) > SHOWN_MAX else []
    slugs = [experiment.slug for experiment in candidates]
    return AmbiguousExperiment(
        f"{why}: {', '.join([*shown, *more])}",
        "say which with --expr SLUG or AR_EXPR; arctl list shows them",
        {"candidates": slugs},
    )
