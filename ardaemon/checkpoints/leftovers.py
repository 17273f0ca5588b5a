"""--keep-checkpoints N: of what runs leave in their own output, the last N stay.

Removed is only what is known to be a run's and nobody else's: what was not there before its first launch (by
before.json), is as it was when the run ended, and lies in the project without a symlink on the way. Never the
best's, never what a run under way has written since.
"""

import contextlib
import os
from pathlib import Path

from ardaemon.checkpoints import find as checkpoint
from ardaemon.checkpoints.prune import GONE
from ardaemon.core.errors import CorruptState, UnknownSchema
from ardaemon.core.layout import FOLDER, Experiment, Run
from ardaemon.core.model import Best, Record, Settings
from ardaemon.core.run_record import Left
from ardaemon.host import durable, operations, state

WRITTEN_MAX = 512  # of one run that are remembered: they stand in run.json, and the oldest simply stay
REFUSED_MAX = 512  # that the disk would not let go and are tried again; the oldest simply stay


class Leftovers(Record, frozen=True, kw_only=True):
    """.ckpt/left.json: what runs have left that is still there, oldest first; `going` is being removed."""

    left: tuple[Left, ...] = ()
    going: tuple[str, ...] = ()  # paths relative to the project


def written(experiment: Experiment, run: Run, settings: Settings, promoted: Path | None) -> tuple[Left, ...]:
    """What the run wrote and nobody else, oldest first; nothing where the session keeps everything."""
    if settings.keep_checkpoints is None:
        return ()
    before = _before(experiment, run, settings)
    if before is None:
        return ()
    known = {left.path: left.mark for left in _read(experiment).left}
    found = []
    for path in reversed(checkpoint.written(experiment, run, settings, started=0.0)[:WRITTEN_MAX]):
        name = os.path.relpath(path, experiment.project)
        there = before.get(str(path))  # what no run is known to have written is not ours to remove
        if _removable(experiment, run, path) and (there is None or there == known.get(name)):
            found.append(Left(name, run.run_id, checkpoint.mark(path), path == promoted))
    return tuple(found)


def _before(experiment: Experiment, run: Run, settings: Settings) -> dict[str, str] | None:
    """What was there before the run's first launch; None where nobody looked."""
    if settings.checkpoint_glob is None:
        return {}  # what is captured lies in the run's own folder, which was new
    with contextlib.suppress(CorruptState, UnknownSchema):
        found = state.read(run.attempt(1).before, checkpoint.Before)
        return found.marks if found is not None else None
    return None


def tidy(experiment: Experiment, settings: Settings, mine: tuple[Left, ...]) -> None:
    """Remember what a run left, and remove the oldest beyond the last N. Raises StorageError."""
    if settings.keep_checkpoints is None:
        return
    known = _read(experiment)
    # A removal that was cut short; what the disk refuses is tried again at the next commit.
    refused = tuple(n for n in known.going if not durable.remove_tree(_aside(experiment.project / n)))
    names = {left.path for left in mine}
    left = [*(one for one in known.left if one.path not in names), *mine]
    left = [one for one in left if os.path.lexists(experiment.project / one.path)]
    best = state.read(experiment.best, Best)
    going = [one for one in left[: -settings.keep_checkpoints] if not _of_best(one, best)]
    named = (*refused, *(one.path for one in going))
    _write(experiment, known, Leftovers(left=tuple(left), going=named))
    if going:
        gone = [one for one in going if _remove(experiment, one)]
        named = tuple(name for name in named if os.path.lexists(_aside(experiment.project / name)))
        stays = [one for one in left if one not in gone][-(settings.keep_checkpoints + REFUSED_MAX) :]
        _write(experiment, None, Leftovers(left=tuple(stays), going=named[-REFUSED_MAX:]))


def _of_best(left: Left, best: Best | None) -> bool:
    """What the best's copy was made from; all that it left where it has no copy."""
    return best is not None and left.run_id == best.run_id and (left.promoted or best.checkpoint is None)


def _read(experiment: Experiment) -> Leftovers:
    """What is known; nothing where it cannot be read: then nothing is removed."""
    with contextlib.suppress(CorruptState, UnknownSchema):
        return state.read(experiment.leftovers, Leftovers) or Leftovers()
    return Leftovers()


def _write(experiment: Experiment, known: Leftovers | None, wanted: Leftovers) -> None:
    if wanted == known:
        return
    with state.storage("make", experiment.checkpoints):
        durable.make_folder(experiment.checkpoints)
    state.write(experiment.leftovers, wanted)


def _removable(experiment: Experiment, run: Run, path: Path) -> bool:
    """It lies in the project, no symlink leads there, and it is nothing of the daemon's or of git's."""
    project = os.path.realpath(experiment.project)
    name = os.path.relpath(path, experiment.project)
    parts = Path(name).parts
    if not parts or parts[0] == os.pardir or os.path.realpath(path) != os.path.join(project, name):
        return False
    if parts[0] == FOLDER:
        return path.is_relative_to(run.folder)  # and what is the daemon's there was never taken for a run's
    return parts[0] != ".git"


def _aside(path: Path) -> Path:
    return path.with_name(GONE + path.name)


def _remove(experiment: Experiment, left: Left) -> bool:
    """Remove it if it is still as its run left it; half a folder, after a kill, never has its name.

    False where the disk refuses, and it stands as before.
    """
    path = experiment.project / left.path
    run = experiment.run(left.run_id)
    try:
        if not _removable(experiment, run, path) or checkpoint.mark(path) != left.mark:
            return True  # not its run's any more
        if not path.is_dir():
            durable.remove(path)
            return True
        operations.rename(path, _aside(path))
    except OSError:
        return False
    durable.remove_tree(_aside(path))  # what is left of it has another name
    return True
