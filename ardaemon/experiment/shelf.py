"""Puts an experiment aside, into `.autoresearch/archive/`, and back. Its files stay as they are.

There no command takes it for an experiment: it is not listed, and no name without `--expr` can mean it.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from ardaemon.core.errors import ArdaemonError, Refused, UnknownExperiment
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Chain, Session
from ardaemon.core.project import require_ours
from ardaemon.core.text import one_line
from ardaemon.experiment import chain as chains
from ardaemon.experiment import create
from ardaemon.experiment.unclean import require_no_unclean
from ardaemon.host import durable, state

SHOWN_MAX = 16  # names of archived experiments in one answer


def put_aside(experiment: Experiment) -> list[str]:
    """Move the experiment into the archive. Raises Refused where something still goes on in it."""
    project = Project(experiment.project)
    _require_over(experiment)
    require_no_unclean(experiment)
    chain = chains.of_project(project)
    if chain is not None and chain.mode != "disabled" and experiment.slug in _links(chain):
        raise Refused(
            f"{experiment.slug} belongs to the chain that goes on", "end the chain: arctl chain stop"
        )
    target = project.archived(experiment.slug)
    if os.path.lexists(target.folder):
        raise Refused(
            f"there is an archived experiment of that name ({target.folder})",
            f"rename it: {shlex.join(['mv', str(target.folder), f'{target.folder}-old'])}",
        )
    with state.storage("move", experiment.folder):
        _require_no_link(experiment.folder)
        durable.make_own_folder(project.archive)
        durable.rename(experiment.folder, target.folder)
    return [f"{experiment.slug} is archived in {project.archive}", f"back: {_back(experiment.slug)}"]


def put_back(project: Project, name: str, trusted: Sequence[str]) -> tuple[Experiment, list[str]]:
    """Move an archived experiment back, and return it. Its name may come without its date."""
    archived = _found(project, name)
    experiment = project.experiment(archived.folder.name)
    create.require_free(experiment)
    with state.storage("move", archived.folder):
        require_ours(str(project.folder), _names(project, archived), lambda: trusted)
        durable.rename(archived.folder, experiment.folder)
    return experiment, [f"{experiment.slug} is back in {project.home}"]


def listed(project: Project) -> list[str]:
    """Say which experiments are archived, a line each, the newest names first."""
    slugs = [experiment.slug for experiment in reversed(_every(project))]
    more = [f"and {len(slugs) - SHOWN_MAX} more: ls {project.archive}"] if len(slugs) > SHOWN_MAX else []
    shown = [f"{slug}  back: {_back(slug)}" for slug in slugs[:SHOWN_MAX]]
    return [*shown, *more] or [f"no experiment of {project.folder} is archived"]


def _found(project: Project, name: str) -> Experiment:
    every = _every(project)
    found = [e for e in every if e.slug == name] or [e for e in every if e.slug.partition("-")[2] == name]
    if len(found) == 1:
        return found[0]
    names = ", ".join(e.slug for e in (found or every)[-SHOWN_MAX:])
    why = (
        f"several archived experiments are named {name}"
        if found
        else f"none is archived as {one_line(name, 64)!r}"
    )
    raise UnknownExperiment(f"{why} in {project.folder}", f"archived here: {names or 'none'}")


def _every(project: Project) -> list[Experiment]:
    with state.storage("look into", project.archive):
        return [] if project.archive.is_symlink() else project.all_archived()


def _require_over(experiment: Experiment) -> None:
    try:
        session = state.read(experiment.session, Session)
    except ArdaemonError:
        return  # who puts a broken experiment aside wants just that
    if session is not None and session.live:
        raise Refused(
            f"the session of {experiment.slug} is live",
            f"end it: arctl session stop --expr {experiment.slug}",
        )


def _require_no_link(folder: Path) -> None:
    if folder.is_symlink():
        raise Refused(f"{folder} is a link, which would lead elsewhere from the archive", "move it yourself")


def _links(chain: Chain) -> tuple[str, ...]:
    return (chain.current_slug, *chain.chain_trail)


def _names(project: Project, archived: Experiment) -> tuple[str, ...]:
    return tuple(archived.folder.relative_to(project.folder).parts)


def _back(slug: str) -> str:
    return f"arctl archive --back {slug}"
