"""Checkpoints: which files of a run are its state, and that what a decision counts on is on the disk."""

import contextlib
import glob
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from msgspec import field

from ardaemon.checkpoints import whole
from ardaemon.checkpoints.newest import latest_first
from ardaemon.core.errors import CorruptState
from ardaemon.core.layout import Attempt, Experiment, Run
from ardaemon.core.model import Record, Settings
from ardaemon.host import durable, operations, state
from ardaemon.host.state import storage
from ardaemon.metrics import own

# A file may be this much older than the attempt: filesystems keep coarse times. Looked at only where
# before.json is missing (an earlier version launched it): the clock may be set while a run is under way.
CLOCK_SLACK_S = 2.0
# Without a glob: what ar_capture saves, one file, or a folder with a file of each rank.
CAPTURED = ("state.pt", "state")
# What the daemon and the shim keep in a run's folder: a glob like {run_dir}/* is not meant to match it.
_OURS = re.compile(r"train\.py|run\.json|result\.json|run\.log|ready|a[0-9]+|\..*\.tmp")


class Before(Record, frozen=True, kw_only=True):
    """before.json: what the session's globs matched at the launch, path -> mark.

    `files`: the marks of metrics.own, of what the patterns `noted` match.
    """

    marks: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)
    noted: tuple[str, ...] = ()


def note(experiment: Experiment, run: Run, attempt: Attempt, settings: Settings) -> None:
    """At the launch: what is there already is not this attempt's, whatever the clocks say later."""
    pattern, noted = settings.checkpoint_glob, own.noted(settings.metric_path, attempt.folder.name)
    if pattern is None and not noted:
        return
    marks = {} if pattern is None else {str(path): mark(path) for path in _matches(experiment, run, pattern)}
    files = own.marks(noted, experiment.project, run.folder)
    state.write(attempt.before, Before(marks=marks, files=files, noted=noted))


class Found(NamedTuple):
    """The latest checkpoint of a run that is whole, and what was passed over for not being so."""

    path: Path | None
    passed: tuple[str, ...] = ()


def find(experiment: Experiment, run: Run, settings: Settings, started: float, attempt: int = 1) -> Found:
    """The latest match of the session's glob that this attempt wrote whole; what was captured without one."""
    passed: list[str] = []
    for path in written(experiment, run, settings, started, attempt):
        fault = whole.fault(path)
        if fault is None:
            return Found(path, tuple(passed))
        passed.append(f"{path.name} is not whole: {fault}")
    return Found(None, tuple(passed))


def written(
    experiment: Experiment, run: Run, settings: Settings, started: float, attempt: int = 1
) -> list[Path]:
    """The checkpoints that this attempt wrote, the latest first."""
    if settings.checkpoint_glob is None:
        captured = [run.folder / name for name in CAPTURED]
        ours = [path for path in captured if not path.is_symlink()]  # a link is to the experiment's own files
        return latest_first((when, path) for path in ours if (when := _written(path)) is not None)
    before = None
    with contextlib.suppress(CorruptState):
        before = state.read(run.attempt(attempt).before, Before)
    paths = [path for path in _matches(experiment, run, settings.checkpoint_glob) if not daemons(run, path)]
    found = [(when, path) for path in paths if (when := _written(path)) is not None]
    if before is None:
        return latest_first((when, path) for when, path in found if when >= started - CLOCK_SLACK_S)
    return latest_first((when, path) for when, path in found if before.marks.get(str(path)) != mark(path))


def daemons(run: Run, path: Path) -> bool:
    """Is it something that the daemon or the shim keeps in the run's folder, or lies below such?"""
    if not path.is_relative_to(run.folder):
        return False
    parts = path.relative_to(run.folder).parts
    return not parts or _OURS.fullmatch(parts[0]) is not None


def _matches(experiment: Experiment, run: Run, pattern: str) -> list[Path]:
    pattern = pattern.replace("{run_dir}", glob.escape(str(run.folder)))
    found = glob.glob(pattern, root_dir=experiment.project, recursive=True)
    return [experiment.project / name for name in found]


def mark(path: Path) -> str:
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

    What cannot be read is passed over here: promote.promote() says so. Raises StorageError.
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
