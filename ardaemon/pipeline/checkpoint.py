"""Checkpoints: the best run's state, copied whole and swapped in by one rename."""

import contextlib
import errno
import glob
import hashlib
import os
import shutil
import stat
from pathlib import Path

from ardaemon.core.errors import CorruptState
from ardaemon.core.layout import Attempt, Experiment, Run
from ardaemon.core.model import Best, Record, Result, Settings
from ardaemon.host import durable, operations, state
from ardaemon.host.state import storage

META = "meta.json"
GONE = ".gone-"  # a checkpoint that is being removed
# A file may be this much older than the attempt: filesystems keep coarse times. Looked at only where
# before.json is missing (an earlier version launched it): the clock may be set while a run is under way.
CLOCK_SLACK_S = 2.0
# The disk is full: that passes, and the copy is tried again. Any other error is the source's own.
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Before(Record, frozen=True, kw_only=True):
    """before.json: what the session's glob matched at the launch, path -> mark."""

    marks: dict[str, str]


def note(experiment: Experiment, run: Run, attempt: Attempt, settings: Settings) -> None:
    """At the launch: what is there already is not this attempt's, whatever the clocks say later."""
    if settings.checkpoint_glob is not None:
        marks = {str(path): _mark(path) for path in _matches(experiment, run, settings.checkpoint_glob)}
        state.write(attempt.before, Before(marks=marks))


def find(
    experiment: Experiment, run: Run, settings: Settings, started: float, attempt: int = 1
) -> Path | None:
    """The newest match of the session's glob that this attempt wrote; state.pt without a glob."""
    if settings.checkpoint_glob is None:
        found = run.folder / "state.pt"
        return found if os.path.isfile(found) else None
    before = None
    with contextlib.suppress(CorruptState):
        before = state.read(run.attempt(attempt).before, Before)
    paths = _matches(experiment, run, settings.checkpoint_glob)
    written = [(when, path) for path in paths if (when := _written(path)) is not None]
    if before is None:
        ours = [(when, path) for when, path in written if when >= started - CLOCK_SLACK_S]
    else:
        ours = [(when, path) for when, path in written if before.marks.get(str(path)) != _mark(path)]
    return max(ours)[1] if ours else None


def _matches(experiment: Experiment, run: Run, pattern: str) -> list[Path]:
    pattern = pattern.replace("{run_dir}", glob.escape(str(run.folder)))
    found = glob.glob(pattern, root_dir=experiment.project, recursive=True)
    return [experiment.project / name for name in found]


def _mark(path: Path) -> str:
    """Changes with whatever is written to the file, or to any file in the folder."""
    names = [str(path)]
    for folder, _, files in os.walk(path):
        names += [os.path.join(folder, name) for name in files]
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(names):
        with contextlib.suppress(OSError):  # gone since it was listed, or a link to nothing
            found = os.stat(name)
            if stat.S_ISREG(found.st_mode):
                digest.update(
                    f"{name}\0{found.st_ino} {found.st_size} {found.st_mtime_ns}\0".encode(errors="replace")
                )
    return digest.hexdigest()


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


def settle(source: Path) -> None:
    """Sync what the job wrote: a decision that counts on it must not outlive it in a power cut.

    What cannot be read is passed over here: promote() says so. Raises StorageError.
    """
    with storage("sync", source):
        if not source.is_dir():
            _settle_file(str(source))
        for folder, _, names in os.walk(source):
            for name in names:
                _settle_file(os.path.join(folder, name))
            durable.sync_folder(folder)
        durable.sync_folder(source.parent)


def _settle_file(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hold us up
    except OSError:
        return
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            operations.fsync(fd)
    finally:
        os.close(fd)


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
    durable.remove_tree(partial)
    durable.remove_tree(home)  # without its meta.json it is a torn copy
    operations.mkdir(partial)
    try:
        # Copied, never hard-linked: a later run may overwrite its own output in place.
        _copy(source, partial / source.name)
    except OSError as error:
        durable.remove_tree(partial)  # on a full disk, what was copied is in everyone's way
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
            operations.mkdir(other)  # with a mode of ours: a copy of a read-only folder could not be filled
            folders.append(other)
            todo += [(os.path.join(one, name), os.path.join(other, name)) for name in os.listdir(one)]
        elif stat.S_ISLNK(mode):
            operations.symlink(os.readlink(one), other)  # not followed: it may lead in a circle
        elif stat.S_ISREG(mode):
            _copy_file(one, other)
    for folder in folders:
        durable.sync_folder(folder)


def _copy_file(source: str, target: str) -> None:
    durable.copy(source, target)
    shutil.copystat(source, target)


def prune(experiment: Experiment) -> None:
    """Remove promoted checkpoints other than the one that best.json names; only what promote() made."""
    best = state.read(experiment.best, Best)
    if best is None or best.checkpoint is None or not experiment.checkpoints.is_dir():
        return
    keep = os.path.basename(best.checkpoint)
    for folder in experiment.checkpoints.iterdir():
        if folder.name.startswith(GONE):
            durable.remove_tree(folder)
        elif folder.name != keep and (folder / META).exists():
            aside = folder.with_name(GONE + folder.name)  # half of it, after a kill, shall not pass for ours
            with contextlib.suppress(OSError):
                operations.rename(folder, aside)
                durable.remove_tree(aside)
