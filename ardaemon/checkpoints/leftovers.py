"""Removes the checkpoints that runs leave in their own output, but for the last N (--keep-checkpoints N).

A checkpoint is removed only if it is certainly a run's and nobody else's: it was not there before the
run's first launch (by before.json), it is as it was when the run ended, and it lies in the project
without a symlink on the way. The best run's is never removed, nor one that a run under way has written
since.
"""

import contextlib
import os
from pathlib import Path

from ardaemon.checkpoints import find as checkpoint
from ardaemon.checkpoints import place
from ardaemon.checkpoints.prune import GONE
from ardaemon.core.errors import CorruptState, ForeignOwner, UnknownSchema
from ardaemon.core.folders import Look, Unsearched
from ardaemon.core.layout import FOLDER, Experiment, Run
from ardaemon.core.model import Best, Record, Settings
from ardaemon.core.run_record import Left
from ardaemon.host import durable, operations, state

WRITTEN_MAX = 512  # checkpoints of one run that are remembered in run.json; older ones simply stay
REFUSED_MAX = 512  # checkpoints that could not be removed and are tried again; older ones simply stay


class Leftovers(Record, frozen=True, kw_only=True):
    """The content of .ckpt/left.json: what runs have left, oldest first; `going` is being removed."""

    left: tuple[Left, ...] = ()
    going: tuple[str, ...] = ()  # paths relative to the project


def written(experiment: Experiment, run: Run, settings: Settings, promoted: Path | None) -> tuple[Left, ...]:
    """Return the checkpoints that certainly this run wrote, oldest first; none if the session keeps all.

    Raises Unsearched.
    """
    if settings.keep_checkpoints is None:
        return ()
    before = _before(run, settings)
    if before is None:
        return ()
    remembered = {left.path: left.mark for left in _read(experiment).left}
    own, look = [], Look(settings.checkpoint_glob or run.job)
    for path in reversed(checkpoint.written(experiment, run, settings, started=0.0)[:WRITTEN_MAX]):
        name = os.path.relpath(path, experiment.project)
        # A file that was there before, and that no run is known to have written, is not ours to remove.
        there = before.get(str(path))
        if _removable(experiment, run, path) and (there is None or there == remembered.get(name)):
            own.append(Left(name, run.run_id, checkpoint.mark(path, look), path == promoted))
    return tuple(own)


def _before(run: Run, settings: Settings) -> dict[str, str] | None:
    """Return the marks of the files that were there before the run's first launch; None if nobody looked.

    Raises Unsearched if there was too much to look through.
    """
    if settings.checkpoint_glob is None:
        return {}  # ar_capture saves in the run's own folder, which was new
    with contextlib.suppress(UnknownSchema):
        before = checkpoint.read_before(run.attempt(1))
        if before is not None:
            before.require_seen(settings.checkpoint_glob)
            return before.marks
    return None


def tidy(experiment: Experiment, settings: Settings, mine: tuple[Left, ...]) -> None:
    """Remember what a run left (`mine`), and remove all but the last N. Raises StorageError."""
    if settings.keep_checkpoints is None or place.fault(experiment.checkpoints) is not None:
        return
    recorded = _read(experiment)
    # Finish the removals that a kill cut short; those that the disk refuses are tried again at the next
    # commit.
    refused = tuple(n for n in recorded.going if not durable.remove_tree(_aside(experiment.project / n)))
    names = {left.path for left in mine}
    left = [*(one for one in recorded.left if one.path not in names), *mine]
    left = [one for one in left if os.path.lexists(experiment.project / one.path)]
    best = state.read(experiment.best, Best)
    going = [one for one in left[: -settings.keep_checkpoints] if not _of_best(one, best)]
    named = (*refused, *(one.path for one in going))
    _write(experiment, recorded, Leftovers(left=tuple(left), going=named))
    if going:
        gone = [one for one in going if _remove(experiment, one)]
        named = tuple(name for name in named if os.path.lexists(_aside(experiment.project / name)))
        stays = [one for one in left if one not in gone][-(settings.keep_checkpoints + REFUSED_MAX) :]
        _write(experiment, None, Leftovers(left=tuple(stays), going=named[-REFUSED_MAX:]))


def _of_best(left: Left, best: Best | None) -> bool:
    """Return whether the best's copy was made from it; if the best has no copy, whether the best left it."""
    return best is not None and left.run_id == best.run_id and (left.promoted or best.checkpoint is None)


def _read(experiment: Experiment) -> Leftovers:
    """Read left.json. If it cannot be read it counts as empty, so that nothing is removed."""
    with contextlib.suppress(CorruptState, UnknownSchema, ForeignOwner):
        return state.read(experiment.leftovers, Leftovers) or Leftovers()
    return Leftovers()


def _write(experiment: Experiment, recorded: Leftovers | None, wanted: Leftovers) -> None:
    if wanted == recorded:
        return
    with state.storage("make", experiment.checkpoints):
        durable.make_folder(experiment.checkpoints)
    state.write(experiment.leftovers, wanted)


def _removable(experiment: Experiment, run: Run, path: Path) -> bool:
    """Return whether `path` is in the project, by no symlink, and none of git's or the daemon's files."""
    project = os.path.realpath(experiment.project)
    name = os.path.relpath(path, experiment.project)
    parts = Path(name).parts
    if not parts or parts[0] == os.pardir or os.path.realpath(path) != os.path.join(project, name):
        return False
    if parts[0] == FOLDER:
        return path.is_relative_to(run.folder)  # the daemon's files there were left out before
    return parts[0] != ".git"


def _aside(path: Path) -> Path:
    return path.with_name(GONE + path.name)


def _remove(experiment: Experiment, left: Left) -> bool:
    """Remove a checkpoint if it is still as its run left it; return False if the disk refuses.

    A folder is renamed first, so that after a kill half of it never has the checkpoint's name.
    """
    path = experiment.project / left.path
    run = experiment.run(left.run_id)
    try:
        if not _removable(experiment, run, path) or checkpoint.mark(path, Look(path)) != left.mark:
            return True  # somebody has changed it: it is the run's no more
        if not path.is_dir():
            durable.remove(path)
            return True
        operations.rename(path, _aside(path))
    except Unsearched:
        return True  # it was less when its run ended
    except OSError:
        return False
    durable.remove_tree(_aside(path))  # a part that cannot be removed has another name
    return True
