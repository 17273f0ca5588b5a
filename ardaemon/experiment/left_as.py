"""How this user's daemon has left each experiment, noted in its state folder as it gives the project back.

A backup of a whole `.autoresearch/` is of one time: nothing in it tells that there was more. The note is lost
where a daemon is killed, and then the one before it counts, which claims less.
"""

import os
from contextlib import suppress
from pathlib import Path

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.folder_key import folder_key
from ardaemon.core.layout import Experiment, Project
from ardaemon.core.model import Record
from ardaemon.experiment import generation
from ardaemon.host import durable, state

NOTES_MAX = 1000  # of experiments; those that were left longest ago go first


class LeftAs(Record, frozen=True, kw_only=True):
    """The content of a note."""

    folder: str
    newest: generation.Newest


def note(notes: Path, project: Project) -> None:
    """Note how the project's experiments are left. Raises OSError."""
    for experiment, newest in generation.known_of(project).items():
        if newest.lineage and recalled(notes, experiment) != newest:
            left = LeftAs(folder=str(experiment.folder), newest=newest)
            durable.publish(_path(notes, experiment), state.encode(left), 0o600)
            _prune(notes)


def recalled(notes: Path, experiment: Experiment) -> generation.Newest:
    """Return how the experiment was left; nothing is known where there is no note, or a broken one."""
    with suppress(ArdaemonError):
        left = state.read(_path(notes, experiment), LeftAs)
        if left is not None and left.folder == str(experiment.folder):
            return left.newest
    return generation.Newest()


def _path(notes: Path, experiment: Experiment) -> Path:
    return notes / f"{folder_key(experiment.folder)}.json"


def _prune(notes: Path) -> None:
    with os.scandir(notes) as entries:
        ages = sorted((entry.stat().st_mtime, entry.path) for entry in entries)
    for _, path in ages[:-NOTES_MAX]:
        durable.remove(path)
