"""Remove promoted checkpoints that are the best's no more; only what promote() made."""

import contextlib
import os
import time
from collections.abc import Collection
from pathlib import Path

from ardaemon.core.layout import CHECKPOINT_META, Experiment
from ardaemon.core.model import Best
from ardaemon.host import durable, operations, state

GONE = ".gone-"  # what is being removed
# Somebody who followed best_ckpt just before it was swapped reads on: at 1 GB/s, 60 GB in this time.
FORMER_KEPT_S = 60.0
REFUSED_S = 1.0  # after it, what could not be removed is tried again


def prune(experiment: Experiment, in_use: Collection[str] = (), kept_s: float | None = None) -> float | None:
    """Remove former bests, but for those that a run under way was given (`in_use`), or that are fresh.

    `kept_s`: how long a former best is kept (default: FORMER_KEPT_S). Returns the seconds until it is worth
    another try; None where nothing is left to remove before the next commit.
    """
    if not experiment.checkpoints.is_dir():
        return None
    waits = [] if sweep(experiment) else [REFUSED_S]
    for folder, stays_s in _formers(experiment, in_use, _kept(kept_s)):
        if stays_s > 0:
            waits.append(stays_s)
        elif not _removed(folder):
            waits.append(REFUSED_S)
    return min(waits, default=None)


def sweep(experiment: Experiment) -> bool:
    """Finish what was being removed when a daemon was killed, or the disk failed; False: some is left."""
    gone = [durable.remove_tree(folder) for folder in experiment.checkpoints.glob(f"{GONE}*")]
    return all(gone)


def _formers(experiment: Experiment, in_use: Collection[str], kept_s: float) -> list[tuple[Path, float]]:
    """The former bests that nobody was given, with the seconds (at most `kept_s`) that each is kept yet."""
    best = state.read(experiment.best, Best)
    if best is None:
        return []
    keep = os.path.basename(best.checkpoint or "")  # a best without one: then all are former ones
    ours = {folder: _promoted_at(folder) for folder in experiment.checkpoints.iterdir()}
    found = []
    for folder, promoted in ours.items():
        if promoted is None or folder.name == keep or os.path.realpath(folder) in in_use:
            continue
        since_s = time.time() - _former_since(experiment, promoted, ours.values())
        found.append((folder, min(kept_s - since_s, kept_s)))
    return found


def _removed(folder: Path) -> bool:
    aside = folder.with_name(GONE + folder.name)  # half of it, after a kill, shall not pass for ours
    with contextlib.suppress(OSError):
        operations.rename(folder, aside)
        return durable.remove_tree(aside)
    return False


def _kept(kept_s: float | None) -> float:
    return FORMER_KEPT_S if kept_s is None else kept_s


def _promoted_at(folder: Path) -> float | None:
    """When it was made, in seconds since the epoch; None for what promote() has not made."""
    try:
        return (folder / CHECKPOINT_META).stat().st_mtime
    except OSError:
        return None


def _former_since(experiment: Experiment, promoted: float, all_of_them: Collection[float | None]) -> float:
    """When the next one took its place; where the clock was set meanwhile, when the last one did."""
    later = [other for other in all_of_them if other is not None and other > promoted]
    return min(later, default=_swapped_at(experiment))


def _swapped_at(experiment: Experiment) -> float:
    try:
        return experiment.best_checkpoint.lstat().st_mtime
    except OSError:
        return 0.0
