"""Checkpoints: the best run's state, copied whole and swapped in by one rename."""

import errno
import glob
import os
import shutil
import stat
from pathlib import Path

from ardaemon.core.layout import Experiment, Run
from ardaemon.core.model import Best, Result, Settings
from ardaemon.host import durable, state
from ardaemon.host.state import storage

META = "meta.json"
# A file's time may be this much before the attempt's start: filesystems keep coarse times.
CLOCK_SLACK_S = 2.0
# The disk is full: that passes, and the copy is tried again. Any other error is the source's own.
_FULL = (errno.ENOSPC, errno.EDQUOT)


def find(experiment: Experiment, run: Run, settings: Settings, started: float) -> Path | None:
    """The newest match of the session's glob that this attempt wrote; state.pt without a glob."""
    if settings.checkpoint_glob is None:
        found = run.folder / "state.pt"
        return found if os.path.isfile(found) else None
    pattern = settings.checkpoint_glob.replace("{run_dir}", glob.escape(str(run.folder)))
    paths = [
        experiment.project / name for name in glob.glob(pattern, root_dir=experiment.project, recursive=True)
    ]
    written = [(_written(path), path) for path in paths]
    ours = [(when, path) for when, path in written if when is not None and when >= started - CLOCK_SLACK_S]
    return max(ours)[1] if ours else None


def _written(path: Path) -> float | None:
    """When it, or anything in it, was last written; None where no file or folder is (any more)."""
    try:
        found = path.stat()
    except OSError:  # a link to nothing, as `latest` often is; or removed since it was listed
        return None
    if not stat.S_ISDIR(found.st_mode):
        return found.st_mtime if stat.S_ISREG(found.st_mode) else None
    times = [found.st_mtime]
    for folder, _, names in os.walk(path):
        times += [when for name in names if (when := _file_written(os.path.join(folder, name))) is not None]
    return max(times)


def _file_written(path: str) -> float | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_mtime if stat.S_ISREG(found.st_mode) else None


def promote(experiment: Experiment, run_id: str, source: Path, meta: Result) -> str | None:
    """Copy `source` to .ckpt/{run_id}/ and point best_ckpt there; what is done already is left.

    Returns why it cannot be copied, in one line, or None. Raises StorageError where trying again can help.
    """
    home = experiment.checkpoints / run_id
    with storage("promote the checkpoint to", home):
        if not (home / META).exists():
            problem = _make(experiment, home, source, meta)
            if problem is not None:
                return problem
        if not _points_to(experiment.best_checkpoint, home):
            durable.link_to(os.path.join(experiment.checkpoints.name, run_id), experiment.best_checkpoint)
    return None


def withdraw(experiment: Experiment) -> None:
    """The best has no checkpoint: best_ckpt goes, so that nobody takes an older run's state for its."""
    link = experiment.best_checkpoint
    with storage("remove", link):
        if link.is_symlink():
            durable.remove(link)  # synced with best.json


def _points_to(link: Path, home: Path) -> bool:
    return link.is_symlink() and (link.parent / os.readlink(link)) == home


def _make(experiment: Experiment, home: Path, source: Path, meta: Result) -> str | None:
    from msgspec import json  # the only place here that needs it

    durable.make_folder(experiment.checkpoints)
    partial = home.with_name(f".{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)  # without its meta.json it is a torn copy
    partial.mkdir()
    try:
        # Copied, never hard-linked: a later run may overwrite its own output in place.
        _copy(source, partial / source.name)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)  # on a full disk, what was copied is in everyone's way
        if error.errno in _FULL:
            raise
        return f"{source.name}: {error.strerror or error}"
    facts = {"schema": 1, "run_id": meta.run_id, "name": source.name, "primary": meta.primary}
    durable.write(partial / META, json.format(json.encode(facts), indent=1))
    durable.rename(partial, home)
    return None


def _copy(source: Path, target: Path) -> None:
    """Copy and sync a file, or a folder with all that is in it but sockets, pipes and devices."""
    folders = []
    todo = [(os.path.realpath(source, strict=True), str(target))]
    while todo:
        one, other = todo.pop()
        mode = os.lstat(one).st_mode
        if stat.S_ISDIR(mode):
            os.mkdir(other)  # with a mode of ours: a copy of a read-only folder could not be filled
            folders.append(other)
            todo += [(os.path.join(one, name), os.path.join(other, name)) for name in os.listdir(one)]
        elif stat.S_ISLNK(mode):
            os.symlink(os.readlink(one), other)  # not followed: it may lead in a circle
        elif stat.S_ISREG(mode):
            _copy_file(one, other)
    for folder in folders:
        durable.sync_folder(folder)


def _copy_file(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    with open(target, "rb") as file:
        os.fsync(file.fileno())
    shutil.copystat(source, target)


def prune(experiment: Experiment) -> None:
    """Remove promoted checkpoints other than the one that best.json names; only what promote() made."""
    best = state.read(experiment.best, Best)
    if best is None or best.checkpoint is None or not experiment.checkpoints.is_dir():
        return
    keep = os.path.basename(best.checkpoint)
    for folder in experiment.checkpoints.iterdir():
        if folder.name != keep and (folder / META).exists():
            shutil.rmtree(folder, ignore_errors=True)
