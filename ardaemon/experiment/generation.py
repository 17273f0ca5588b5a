"""Number the writes of `.ar-session.json`, so that a copy of it from before is noticed.

A backup that is put back, a checkout of git's or another machine's older version may stand there, and it
looks as whole as the file of now. Whoever decides something in an experiment asks first whether the session
is the newest that this daemon knows of (vanished.require_newest).
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Session
from ardaemon.host import state


class Newest(NamedTuple):
    """The newest session of an experiment that is known."""

    generation: int = 0  # its number
    last_run: int = 0  # the highest run that was committed
    lineage: str = ""  # the experiment's; "": its records tell, or an earlier version has written it

    def of(self, session: Session) -> "Newest":
        """Return what that says of the session's experiment: nothing, if it is another one in its place."""
        is_other = session.lineage and self.lineage not in ("", session.lineage)
        return Newest() if is_other else self

    def joined(self, seen: "Newest") -> "Newest":
        """Return what both say."""
        return Newest(
            max(self.generation, seen.generation),
            max(self.last_run, seen.last_run),
            seen.lineage or self.lineage,
        )


# Experiment's folder -> what this process has written, or found in records. Both numbers only grow, whichever
# daemon writes: so nothing is forgotten when a project is let go.
_known: dict[str, Newest] = {}


def write(experiment: Experiment, session: Session, folder: bool = True) -> None:
    """Write the session under the next number, durably; `folder` as in durable.write. Raises StorageError.

    A session that was read from a copy from before keeps that one's number: committed_last.accepted() alone
    ends that. One without a number, as an earlier version writes it, is the newest.
    """
    before = newest(experiment).of(session)
    step = 0 if is_before(session, before.generation) else 1
    numbered = replace(session, generation=(session.generation or before.generation) + step)
    state.write(experiment.session, numbered, folder=folder)
    written = Newest(numbered.generation, numbered.last_run, numbered.lineage)
    _known[str(experiment.folder)] = before.joined(written)


def known(experiment: Experiment) -> int:
    """Return the highest number that is known of the experiment's session; 0 if none is."""
    return newest(experiment).generation


def newest(experiment: Experiment) -> Newest:
    """Return what is known of the experiment's newest session."""
    return _known.get(str(experiment.folder), Newest())


def committed(experiment: Experiment, number: int) -> None:
    """Learn that this run was committed."""
    note(experiment, Newest(last_run=number))


def lineage() -> str:
    """Make what tells an experiment, or a chain, from another one in its place."""
    return os.urandom(8).hex()


def known_of(project: Project) -> dict[Experiment, Newest]:
    """Return what is known of each of the project's experiments."""
    every = {Experiment(Path(folder)): newest for folder, newest in list(_known.items())}
    return {
        experiment: newest for experiment, newest in every.items() if experiment.project == project.folder
    }


def recall(experiment: Experiment, before: Newest) -> None:
    """Learn how this user's daemon has left the experiment; of another one in its place it knows nothing."""
    there = _lineage_there(experiment)
    if there and newest(experiment).lineage not in ("", there):
        forget(experiment)
    if there and before.lineage == there:
        note(experiment, before)


def _lineage_there(experiment: Experiment) -> str:
    """Return the lineage of the experiment that stands there; "" if that cannot be told."""
    with suppress(ArdaemonError):
        session = state.read(experiment.session, Session)
        return session.lineage if session is not None else ""
    return ""


def forget(experiment: Experiment) -> None:
    """Know nothing any more, for another experiment begins in that folder."""
    _known.pop(str(experiment.folder), None)


def forget_others(project: Project) -> None:
    """Know nothing any more of experiments that are not in a project whose `.autoresearch/` was exchanged."""
    for experiment, before in known_of(project).items():
        if not before.lineage or before.lineage != _lineage_there(experiment):
            forget(experiment)


def is_older(experiment: Experiment, session: Session) -> bool:
    """Tell whether the session is a copy from before."""
    return is_before(session, newest(experiment).of(session).generation)


def any_older(project: Project) -> bool:
    """Tell whether the session of an experiment that is known here is a copy from before, or is gone."""
    return any(map(_is_gone_or_older, known_of(project)))


def _is_gone_or_older(experiment: Experiment) -> bool:
    with suppress(ArdaemonError):
        session = state.read(experiment.session, Session)
        return session is None or is_older(experiment, session)
    return True


def is_before(session: Session, written: int) -> bool:
    """Tell whether the session, of one that was written so often, is a copy from before.

    An earlier version writes no number: of its sessions nobody can tell.
    """
    return 0 < session.generation < written


def note(experiment: Experiment, seen: Newest) -> None:
    """Learn that a session was seen which is as new as that."""
    _known[str(experiment.folder)] = newest(experiment).joined(seen)
