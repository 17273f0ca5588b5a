"""Removes promoted checkpoints of runs that are the best no more; only copies that promote() made."""

import contextlib
import os
import time
from collections.abc import Collection
from pathlib import Path

from ardaemon.checkpoints import kept, place
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Best
from ardaemon.host import durable, operations, state

GONE = ".gone-"  # the beginning of the name of a folder that is being removed
# A program that followed best_ckpt just before it was swapped still reads there: at 1 GB/s, 60 GB in this
# time.
FORMER_KEPT_S = 60.0
REFUSED_S = 1.0  # until a folder that could not be removed is tried again


def prune(experiment: Experiment, in_use: Collection[str] = (), kept_s: float | None = None) -> float | None:
    """Remove the former bests, but not those that a run under way was given (`in_use`), nor fresh ones.

    A former best is kept for `kept_s` seconds (default: FORMER_KEPT_S). Return the seconds until
    another call is worth it; None if nothing is left to remove before the next commit.
    """
    if not experiment.checkpoints.is_dir() or place.fault(experiment.checkpoints) is not None:
        return None
    waits = [] if sweep(experiment) else [REFUSED_S]
    for folder, stays_s in _formers(experiment, in_use, _kept(kept_s)):
        wait = stays_s if stays_s > 0 else _removed(folder)
        waits += [wait] if wait else []
    return min(waits, default=None)


def sweep(experiment: Experiment) -> bool:
    """Finish the removals that a kill or a disk error has cut short; return False if some of it is left."""
    gone = [durable.remove_tree(folder) for folder in experiment.checkpoints.glob(f"{GONE}*")]
    return all(gone)


def _formers(experiment: Experiment, in_use: Collection[str], kept_s: float) -> list[tuple[Path, float]]:
    """Return the former bests that no run was given, each with the seconds that it is still kept."""
    best = state.read(experiment.best, Best)
    if best is None:
        return []
    keep = os.path.basename(best.checkpoint or "")  # of a best without a checkpoint all are former ones
    ours = {folder: place.promoted_at(folder) for folder in experiment.checkpoints.iterdir()}
    formers = []
    for folder, promoted in ours.items():
        if promoted is None or folder.name == keep or os.path.realpath(folder) in in_use:
            continue
        since_s = time.time() - _former_since(experiment, promoted, ours.values())
        formers.append((folder, min(kept_s - since_s, kept_s)))
    return formers


def _removed(folder: Path) -> float:
    """Remove a former best; return in how many seconds to try again, 0 for never.

    One that an audit of another daemon needs stays: the next commit looks again, or that daemon.
    """
    aside = folder.with_name(GONE + folder.name)  # half of it, after a kill, must not pass for a checkpoint
    with contextlib.suppress(OSError), kept.free(folder) as is_free:
        if not is_free:
            return 0.0
        operations.rename(folder, aside)
        return 0.0 if durable.remove_tree(aside) else REFUSED_S
    return REFUSED_S


def _kept(kept_s: float | None) -> float:
    return FORMER_KEPT_S if kept_s is None else kept_s


def _former_since(experiment: Experiment, promoted: float, all_of_them: Collection[float | None]) -> float:
    """Return when the next best took its place; if the clock was set meanwhile, when the last one did."""
    later = [other for other in all_of_them if other is not None and other > promoted]
    return min(later, default=_swapped_at(experiment))


def _swapped_at(experiment: Experiment) -> float:
    try:
        return experiment.best_checkpoint.lstat().st_mtime
    except OSError:
        return 0.0
