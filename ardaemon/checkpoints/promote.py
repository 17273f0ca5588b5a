"""Promotes the best run's checkpoint: copies it whole into .ckpt/, then points best_ckpt to it."""

import errno
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import MsgspecError, field

from ardaemon.checkpoints import place, prune
from ardaemon.checkpoints.copy import Copied, Copier, Report, sha256_of
from ardaemon.checkpoints.survey import Plan, survey
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import ArdaemonError, StorageError
from ardaemon.core.folders import Look, Unsearched, walk
from ardaemon.core.layout import CHECKPOINT_META as META
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Best, PrimaryResult, Record, Result
from ardaemon.host import durable, operations, state
from ardaemon.host.state import storage

# The time that a decided advance waits for space, in which somebody may free some. Then it goes on without
# the checkpoint: a night of runs is worth more than one checkpoint.
PATIENCE_S = 600.0
FILES_MAX = 200_000  # of one checkpoint: each has its line in meta.json


class Meta(Record, frozen=True, kw_only=True):
    """The content of meta.json beside a promoted checkpoint.

    `files` has size and hash of each file by its path; earlier versions had none.
    """

    run_id: str
    name: str
    primary: PrimaryResult
    files: dict[str, Copied] = field(default_factory=dict)


def no_report(_done: int, _total: int) -> None:
    """Take a report of progress that nobody wants."""


def no_room() -> None:
    """Make no room for a child's copy: nothing of its parent is removed for it."""


@dataclass
class Promotion:
    """The facts that this process keeps of one promotion, over all its tries."""

    report: Report = no_report  # of progress; may raise to end the copy
    in_use: frozenset[str] = frozenset()  # promoted checkpoints that runs under way were given
    trusted: Sequence[str] = ()  # folders in which files of other users are copied as well
    made: bool = False  # this process has made the copy, so it need not be read again
    short_since: float | None = None  # CLOCK_MONOTONIC of the first try that had too little space
    prune_in_s: float | None = None  # seconds after its commit until the former bests that stayed may go

    def given_up(self, error: StorageError) -> bool:
        """Return whether there has been too little space for too long, counted from the first such error."""
        if not (isinstance(error.__cause__, OSError) and error.__cause__.errno in operations.FULL):
            return False
        self.short_since = self.short_since or time.monotonic()
        return time.monotonic() - self.short_since > PATIENCE_S


def promote(
    experiment: Experiment, run_id: str, source: Path, meta: Result, promotion: Promotion | None = None
) -> str | None:
    """Copy `source` to .ckpt/{run_id}/ and point best_ckpt there; steps that are done already are left out.

    Return why it cannot be copied, in one line, or None if it is promoted. Raises StorageError if
    trying again can help.
    """
    promotion = promotion or Promotion()
    if (fault := place.fault(experiment.checkpoints)) is not None:
        return fault
    home = experiment.checkpoints / run_id
    try:
        with storage("promote the checkpoint to", home):
            if not promotion.made and not _stands(home):
                problem = _make(experiment, home, source, meta, promotion)
                if problem is not None:
                    return problem
            promotion.made = True
            _lead_to(experiment, home)
    except StorageError as error:
        if not promotion.given_up(error):
            raise
        return f"{source.name}: {getattr(error.__cause__, 'strerror', error)}"
    return None


def _lead_to(experiment: Experiment, home: Path) -> None:
    link = experiment.best_checkpoint
    if os.path.lexists(link) and not link.is_symlink():
        state.put_aside(link)  # none of ours: it stays, under another name
    if not _points_to(link, home):
        durable.link_to(os.path.join(experiment.checkpoints.name, home.name), link)


def lead_to_best(experiment: Experiment, best: Best | None) -> None:
    """Let best_ckpt lead where best.json says: a backup or a checkout may have put an older link back.

    The caller holds the experiment's lock. Raises StorageError.
    """
    if best is None or place.fault(experiment.checkpoints) is not None:
        return
    if best.checkpoint is None:
        withdraw(experiment)
    elif (home := experiment.checkpoints / best.run_id).is_dir():
        with storage("link", experiment.best_checkpoint):
            _lead_to(experiment, home)


def withdraw(experiment: Experiment) -> None:
    """Remove best_ckpt if the best has no checkpoint: nobody shall take an older state for the best's."""
    link = experiment.best_checkpoint
    with storage("remove", link):
        if link.is_symlink():
            durable.remove(link)  # synced with best.json


def verify(folder: Path) -> list[str]:
    """Read a promoted checkpoint whole, and return every difference from its meta.json, in one line each."""
    try:
        meta = state.decode(files.read(folder / META, file_kinds.TREE), Meta, folder / META)
    except (OSError, ArdaemonError, MsgspecError) as error:
        return [f"{META}: {error}"]
    if not meta.files:  # promoted by an earlier version, which did not hash
        return []
    faults = [fault for name, copied in meta.files.items() if (fault := _fault(folder, name, copied))]
    try:
        there = {os.path.relpath(path, folder) for path in _files(folder)} - {META}
    except Unsearched as error:
        return [*faults, str(error)]
    return [*faults, *(f"{name}: it was added" for name in sorted(there - meta.files.keys()))]


def _fault(folder: Path, name: str, copied: Copied) -> str | None:
    path = folder / name
    try:
        size = path.lstat().st_size
        if size != copied.size:
            return f"{name}: {size} bytes instead of {copied.size}"
        return None if sha256_of(str(path)) == copied.sha256 else f"{name}: its bytes were changed"
    except OSError as error:
        return f"{name}: {error.strerror or error}"


def _files(folder: Path) -> list[str]:
    entries = (one for _, entries in walk(folder, Look(folder, seconds=math.inf)) for one in entries)
    return [one.path for one in entries if not one.is_folder and not one.is_link]


def _stands(home: Path) -> bool:
    """Return whether the copy is there and whole, because an earlier process made it."""
    return (home / META).exists() and not verify(home)


def _points_to(link: Path, home: Path) -> bool:
    return link.is_symlink() and (link.parent / os.readlink(link)) == home


def _make(experiment: Experiment, home: Path, source: Path, meta: Result, promotion: Promotion) -> str | None:
    durable.make_folder(experiment.checkpoints)
    partial = home.with_name(f".{home.name}.partial")
    durable.remove_tree(partial)
    operations.mkdir(partial)
    try:
        # Copied, never hard-linked: a later run may overwrite its own output in place.
        plan = surveyed(source, partial / source.name, promotion.trusted)
        copied = Copier(plan, promotion.report, lambda: _make_room(experiment, promotion)).run()
    except OSError as error:
        durable.remove_tree(partial)  # on a full disk half a copy is in everyone's way
        if error.errno in operations.FULL:  # that may pass, and the copy is tried again
            raise
        return f"{source.name}: {error.strerror or error}"
    facts = Meta(run_id=meta.run_id, name=source.name, primary=meta.primary, files=named(copied, partial))
    durable.write(partial / META, state.encode(facts))
    durable.remove_tree(home)  # a torn copy, or one that differs from its meta.json
    durable.rename(partial, home)
    return None


def surveyed(source: Path, target: Path, trusted: Sequence[str]) -> Plan:
    """Return the plan of a checkpoint's copy. Raises OSError as survey() does, and if there is too much."""
    plan = survey(source, target, trusted)
    if len(plan.files) > FILES_MAX:
        raise OSError(errno.EFBIG, f"it holds more than {FILES_MAX:,} files")
    return plan


def named(copied: dict[str, Copied], folder: Path) -> dict[str, Copied]:
    """Return the facts of the copied files by their paths in `folder`, as meta.json has them."""
    return {os.path.relpath(path, folder): copied[path] for path in sorted(copied)}


def _make_room(experiment: Experiment, promotion: Promotion) -> None:
    """Remove the former bests that no run was given, at once, because their space is needed."""
    prune.prune(experiment, promotion.in_use, kept_s=0)
