"""Finds the checkpoints that a run wrote, and brings to the disk what a decision counts on."""

import contextlib
import glob
import hashlib
import math
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from msgspec import field

from ardaemon.checkpoints import whole
from ardaemon.checkpoints.newest import latest_first
from ardaemon.core import file_kinds, files, folders
from ardaemon.core.errors import CorruptState, ForeignOwner
from ardaemon.core.folders import SMALLER, Look, Unsearched
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
    of the files that the patterns `noted` matched. `unseen` has the patterns that were too much to look
    through, each with the reason: of their files nobody knows whether they were there.
    """

    marks: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)
    noted: tuple[str, ...] = ()
    unseen: dict[str, str] = field(default_factory=dict)

    def require_seen(self, pattern: str) -> None:
        """Raise Unsearched if the launch could not look through what the pattern names."""
        if pattern in self.unseen:
            raise Unsearched(pattern, f"at the launch, {self.unseen[pattern]}")


def note(experiment: Experiment, run: Run, attempt: Attempt, settings: Settings) -> None:
    """Write before.json at the launch: a file that is there already is not this attempt's."""
    pattern, noted = settings.checkpoint_glob, own.noted(settings.metric_path, attempt.folder.name)
    if pattern is None and not noted:
        return
    marks: dict[str, str] = {}
    files: dict[str, str] = {}
    unseen: dict[str, str] = {}
    if pattern is not None:
        marks = _noted(pattern, lambda: _marks(experiment, run, pattern), unseen)
    for one in noted:
        files |= _noted(one, lambda one=one: own.marks((one,), experiment.project, run.job), unseen)  # type: ignore[misc]
    before = Before(marks=marks, files=files, noted=noted, unseen=unseen)
    if len(state.encode(before)) > file_kinds.TREE.most:
        why = f"the names of what is there take more than {file_kinds.TREE.most >> 20} MiB: {SMALLER}"
        before = Before(marks={}, noted=noted, unseen=dict.fromkeys((*noted, *filter(None, [pattern])), why))
    state.write(attempt.before, before)


def _noted(pattern: str, look: Callable[[], dict[str, str]], unseen: dict[str, str]) -> dict[str, str]:
    try:
        return look()
    except Unsearched as error:
        unseen[pattern] = error.strerror
        return {}


def _marks(experiment: Experiment, run: Run, pattern: str) -> dict[str, str]:
    look = Look(pattern)
    return {str(path): mark(path, look) for path in _matches(experiment, run, pattern, look)}


def read_before(attempt: Attempt) -> Before | None:
    """Read before.json; None if nobody looked at the launch, or it cannot be read. Raises UnknownSchema."""
    with contextlib.suppress(CorruptState, ForeignOwner):
        return state.read(attempt.before, Before, file_kinds.TREE)
    return None


class LatestCheckpoint(NamedTuple):
    """The latest checkpoint of a run that is whole, and why later ones were passed over."""

    path: Path | None
    passed: tuple[str, ...] = ()


def find(
    experiment: Experiment, run: Run, settings: Settings, started: float, attempt: int = 1
) -> LatestCheckpoint:
    """Find the latest whole checkpoint that this attempt wrote; none if there is too much to look through.

    It is a match of the session's glob, or, without a glob, what ar_capture has saved. `started` is the
    attempt's start in seconds since 1970.
    """
    passed: list[str] = []
    try:
        paths = written(experiment, run, settings, started, attempt)
    except Unsearched as error:
        return LatestCheckpoint(None, (str(error),))
    for path in paths:
        fault = whole.fault(path)
        if fault is None:
            return LatestCheckpoint(path, tuple(passed))
        passed.append(f"{path.name} is not whole: {fault}")
    return LatestCheckpoint(None, tuple(passed))


def written(
    experiment: Experiment, run: Run, settings: Settings, started: float, attempt: int = 1
) -> list[Path]:
    """Return the checkpoints that this attempt wrote, the latest first. Raises Unsearched."""
    pattern = settings.checkpoint_glob
    look = Look(pattern or run.job)
    if pattern is None:
        captured = [run.job / name for name in CAPTURED]
        ours = [path for path in captured if not path.is_symlink()]  # a link is to the experiment's own files
        return latest_first((when, path) for when, path, _ in _dated(ours, look))
    before = read_before(run.attempt(attempt))
    if before is not None:
        before.require_seen(pattern)
    paths = [path for path in _matches(experiment, run, pattern, look) if not daemons(run, path)]
    dated = _dated(paths, look)
    if before is None:
        return latest_first((when, path) for when, path, _ in dated if when >= started - CLOCK_SLACK_S)
    return latest_first(
        (when, path) for when, path, names in dated if before.marks.get(str(path)) != _mark(path, names, look)
    )


def daemons(run: Run, path: Path) -> bool:
    """Return whether `path` is, or lies in, what the daemon or the shim keeps in the run's folder."""
    if not path.is_relative_to(run.folder):
        return False
    if run.job != run.folder:
        return path in (run.job, run.script) or not path.is_relative_to(run.job)
    parts = path.relative_to(run.folder).parts
    return not parts or _OURS.fullmatch(parts[0]) is not None


def _matches(experiment: Experiment, run: Run, pattern: str, look: Look) -> list[Path]:
    pattern = pattern.replace(own.RUN_DIR, glob.escape(str(run.job)))
    return [Path(one.path) for one in folders.matches(pattern, experiment.project, look)]


def mark(path: Path, look: Look) -> str:
    """Return a text that changes with whatever is written to the file, or to any file in the folder.

    Raises Unsearched.
    """
    return _mark(path, _files(path, look), look)


def _mark(path: Path, names: list[str], look: Look) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted([str(path), *names]):
        look.work_on()
        with contextlib.suppress(OSError):  # gone since it was listed, or a link to nothing
            status = os.stat(name)
            if stat.S_ISREG(status.st_mode):
                facts = f"{name}\0{status.st_ino} {status.st_size} {status.st_mtime_ns}\0"
                digest.update(facts.encode(errors="replace"))
    return digest.hexdigest()


def _files(top: Path, look: Look) -> list[str]:
    """Return the paths of all files in the folder and in those below it."""
    return [one.path for _, entries in folders.walk(top, look) for one in entries if not one.is_folder]


def _dated(paths: Iterable[Path], look: Look) -> list[tuple[float, Path, list[str]]]:
    """Return what is there with its time, and with the files below it: each folder is walked once."""
    below = ((path, _files(path, look)) for path in paths)
    return [(when, path, names) for path, names in below if (when := _written(path, names, look)) is not None]


def _written(path: Path, names: list[str], look: Look) -> float | None:
    """Return when the file, or anything in the folder, was last written; None if there is none (any more)."""
    try:
        status = path.stat()
    except OSError:  # a link to nothing, as `latest` often is; or removed since it was listed
        return None
    if not stat.S_ISDIR(status.st_mode):
        return status.st_mtime if stat.S_ISREG(status.st_mode) else None
    times = [when for name in names if (when := _file_written(name, look)) is not None]
    return max([status.st_mtime, *times])


def _file_written(path: str, look: Look) -> float | None:
    look.work_on()
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
        else:
            for folder, entries in folders.walk(source, Look(source, seconds=math.inf)):
                for one in entries:
                    if not one.is_folder:
                        _settle_file(one.path)
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
