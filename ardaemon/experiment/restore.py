"""Puts a version into train.py again: a run's edit that a crash or a Ctrl+C took away, or the best.

An edit that stands there, and that no run has, is archived first.
"""

import os
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from ardaemon.core.errors import StorageError, UnknownRun
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Placed
from ardaemon.experiment import generation, placing, train_file
from ardaemon.experiment.fresh import archive_train, stamp
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.state import State
from ardaemon.experiment.vanished import require_newest
from ardaemon.host import durable, state


class Restored(NamedTuple):
    """What was done, in one line each, and the state that was met."""

    said: tuple[str, ...]
    state: State


def restore(experiment: Experiment, run_id: str) -> Restored:
    """Make train.py the version of a run. An edit that stands there, and that no run has, is archived first.

    Raises UnknownRun, StorageError.
    """
    if not experiment.run(run_id).train.exists():
        raise UnknownRun(f"no run {run_id} in {experiment.slug}", "arctl status --last 10 lists the latest")
    current = load_or_repair(experiment)
    require_newest(experiment, current.session)
    target = placing.kept(experiment, run_id)
    is_there, archived = put_back(experiment, current, target)
    if not is_there:
        raise _still_there(experiment.train)
    generation.write(experiment, replace(current.session, placed=target))
    said = (f"the edit that stood there is in {archived}",) if archived is not None else ()
    return Restored((f"train.py is that of {run_id}", *said), current)


def _still_there(train: Path) -> StorageError:
    """Make the error where train.py was left as it is."""
    if os.path.lexists(train) and train_file.hash_at(train) is None:
        return StorageError(
            f"{train} is no file that can be read: it was left as it is", state.move_away(train)
        )
    return StorageError(f"{train} changes while it is restored", "try again")


def put_back(experiment: Experiment, current: State, target: Placed) -> tuple[bool, Path | None]:
    """Make train.py the version `target`, durably; an edit that stands there is archived first.

    Returns whether it is there (somebody may edit the file in that moment), and the folder of the archived
    edit. Raises StorageError.
    """
    standing, archived = train_file.current(experiment), None
    accepted = {target.sha256, *_known(current)}
    if standing is not None and standing not in accepted:
        archived = experiment.archive / stamp()
        accepted.add(archive_train(experiment, archived.name) or "")
    if placing.place(experiment, target, accepted, None) == "edited_since":
        return False, archived
    with state.storage("sync", experiment.folder):
        durable.sync_folder(experiment.folder)
    return True, archived


def _known(current: State) -> set[str]:
    """Return the versions that runs keep: what the daemon has placed, and the best."""
    return {known.sha256 for known in (current.session.placed, current.best) if known is not None}
