"""Finds the checkpoints that a run wrote, and brings to the disk what a decision counts on."""

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
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import CorruptState, ForeignOwner
from ardaemon.core.layout import Attempt, Experiment, Run
from ardaemon.core.model import Record, Settings
from ardaemon.host import durable, operations, state
from ardaemon.host.state import storage
from ardaemon.metrics import own

# A file may be this much older than the attempt: filesystems keep coarse times. Times count only if
# before.json is missing, because an earlier version launched the attempt: the clock may be set while a run is
# under way.
CLOCK_SLACK_S = 2.0
# Checkpoints without a glob: what ar_capture saves is one file, or a folder with a file of each rank.
CAPTURED = ("state.pt", "state")
# Files that the daemon and the shim keep in a run's folder: a glob like {run_dir}/* is not meant to match
# them.
_OURS = re.compile(r"train\.py|run\.json|result\.json|run\.log|ready|a[0-9]+|\..*\.tmp")


class Before(Record, frozen=True, kw_only=True):
    """The content of before.json: the files that were there at the launch, as path -> mark.

    `marks` are of the files that the checkpoint glob matched; `files` are the marks of metrics/own.py,
    of the files that the patterns `noted` matched.
    """

    marks: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)
    noted: tuple[str, ...] = ()


def note(experiment: Experiment, run: Run, attempt: Attempt, settings: Settings) -> None:
    """Write before.json at the launch: a file that is there already is not this attempt's."""
    pattern, noted = settings.checkpoint_glob, own.noted(settings.metric_path, attempt.folder.name)
    if pattern is None and not noted:
        return
    marks = {} if pattern is None else {str(path): mark(path) for path in _matches(experiment, run, pattern)}
    files = own.marks(noted, experiment.project, run.job)
    state.write(attempt.before, Before(marks=marks, files=files, noted=noted))


class LatestCheckpoint(NamedTuple):
    """The latest checkpoint of a run that is whole, and why later ones were passed over."""

    path: Path | None
    passed: tuple[str, ...] = ()


def find(
    experiment: Experiment, run: Run, settings: Settings, started: float, attempt: int = 1
) -> LatestCheckpoint:
    """Find the latest whole checkpoint that this attempt wrote.

    It is a match of the session's glob, or, without a glob, what ar_capture has saved. `started` is the
    attempt's start in seconds since 1970.
    """
    passed: list[str] = []
    for path in written(experiment, run, settings, started, attempt):
        fault = whole.fault(path)
        if fault is None:
            return LatestCheckpoint(path, tuple(passed))
        passed.append(f"{path.name} is not whole: {fault}")
    return LatestCheckpoint(None, tuple(passed))


def written(
    experiment: Experiment, run: Run, settings: Settings, started: float, attempt: int = 1
) -> list[Path]:
    """Return the checkpoints that this attempt wrote, the latest first."""
    if settings.checkpoint_glob is None:
        captured = [run.job / name for name in CAPTURED]
        ours = [path for path in captured if not path.is_symlink()]  # a link is to the experiment's own files
        return latest_first((when, path) for path in ours if (when := _written(path)) is not None)
    before = None
    with contextlib.suppress(CorruptState, ForeignOwner):
        before = state.read(run.attempt(attempt).before, Before)
    paths = [path for path in _matches(experiment, run, settings.checkpoint_glob) if not daemons(run, path)]
    dated = [(when, path) for path in paths if (when := _written(path)) is not None]
    if before is None:
        return latest_first((when, path) for when, path in dated if when >= started - CLOCK_SLACK_S)
    return latest_first((when, path) for when, path in dated if before.marks.get(str(path)) != mark(path))


def daemons(run: Run, path: Path) -> bool:
    """Return whether `path` is, or lies in, what the daemon or the shim keeps in the run's folder."""
    if not path.is_relative_to(run.folder):
        return False
    if run.job != run.folder:
        return path in (run.job, run.script) or not path.is_relative_to(run.job)
    parts = path.relative_to(run.folder).parts
    return not parts or _OURS.fullmatch(parts[0]) is not None


def _matches(experiment: Experiment, run: Run, pattern: str) -> list[Path]:
    pattern = pattern.replace("{run_dir}", glob.escape(str(run.job)))
    names = glob.glob(pattern, root_dir=experiment.project, recursive=True)
    return [experiment.project / name for name in names]


def mark(path: Path) -> str:
    """Return a text that changes with whatever is written to the file, or to any file in the folder."""
    names = [str(path)]
    for folder, _, below in os.walk(path):
        names += [os.path.join(folder, name) for name in below]
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(names):
        with contextlib.suppress(OSError):  # gone since it was listed, or a link to nothing
            status = os.stat(name)
            if stat.S_ISREG(status.st_mode):
                facts = f"{name}\0{status.st_ino} {status.st_size} {status.st_mtime_ns}\0"
                digest.update(facts.encode(errors="replace"))
    return digest.hexdigest()


def _written(path: Path) -> float | None:
    """Return when the file, or anything in the folder, was last written; None if there is none (any more)."""
    try:
        status = path.stat()
    except OSError:  # a link to nothing, as `latest` often is; or removed since it was listed
        return None
    if not stat.S_ISDIR(status.st_mode):
        return status.st_mtime if stat.S_ISREG(status.st_mode) else None
    times = [status.st_mtime]
    for folder, _, names in os.walk(path):
        times += [when for name in names if (when := _file_written(os.path.join(folder, name))) is not None]
    return max(times)


def _file_written(path: str) -> float | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_mtime if stat.S_ISREG(status.st_mode) else None


def settle(source: Path) -> None:
    """Sync a checkpoint that the job wrote: no decision that counts on it may outlive it in a power cut.

    A file that cannot be read is passed over here; promote.promote() reports it. Raises StorageError.
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
        fd = files.descriptor(path, file_kinds.CHECKPOINT)
    except OSError:
        return
    try:
        operations.fsync(fd)
    finally:
        os.close(fd)
