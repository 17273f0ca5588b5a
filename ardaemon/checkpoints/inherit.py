"""Copies a parent's checkpoint into the experiment that follows it in a chain, and checks it on the way."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from ardaemon.checkpoints import place
from ardaemon.checkpoints.copy import Copier
from ardaemon.checkpoints.promote import Meta, named, no_report, no_room, surveyed
from ardaemon.core import file_kinds
from ardaemon.core.errors import ArdaemonError, Refused, StorageError
from ardaemon.core.layout import CHECKPOINT_META as META
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Best
from ardaemon.core.size import shown
from ardaemon.host import durable, operations, state

# A copy needs its own space, and the child's first run must have space for a checkpoint of its own.
SPACE_FACTOR = 2
ANOTHER = "put it back, name another one with --parent-ckpt PATH, or go on without: --parent-ckpt none"


class Inherited(NamedTuple):
    """A checkpoint that is to be copied: a file or folder, and what its meta.json says, if it has one."""

    source: Path
    meta: Meta | None
    shown: str  # where it lies, for people


def of_best(experiment: Experiment, best: Best) -> Inherited | None:
    """Return the best's promoted checkpoint; None if best.json names none.

    Raises Refused if it is missing.
    """
    if best.checkpoint is None:
        return None
    if (fault := place.fault(experiment.checkpoints)) is not None:
        raise Refused(f"no checkpoint is taken from {experiment.checkpoints}: {fault}", ANOTHER)
    home = experiment.checkpoints / best.run_id
    inherited = _promoted(home, os.path.relpath(home, experiment.folder.parent))
    if inherited is None:
        raise Refused(
            f"the checkpoint of {experiment.slug}'s best ({best.run_id}) is missing: {home}", ANOTHER
        )
    return inherited


def _promoted(home: Path, shown: str) -> Inherited | None:
    """Return the checkpoint that was promoted to the folder `home`; None if there is none.

    Its name comes from a file that may have come with a clone: it leads nowhere else.
    """
    meta = state.read(home / META, Meta, file_kinds.TREE)
    if meta is None or os.path.basename(meta.name) != meta.name or meta.name in ("", os.curdir, os.pardir):
        return None
    source = home / meta.name
    return Inherited(source, meta, shown) if source.exists() and not source.is_symlink() else None


def of_path(path: Path) -> Inherited:
    """Return the checkpoint that a person names: a promoted one, or any file or folder.

    Raises Refused if there is neither.
    """
    if not path.is_file() and not path.is_dir():  # of a FIFO or a device nothing would be copied
        raise Refused(f"--parent-ckpt {path}: there is no such file or folder", ANOTHER)
    promoted = None
    if path.is_dir():
        with contextlib.suppress(ArdaemonError):  # a meta.json of somebody else's
            promoted = _promoted(path, str(path))
    return promoted or Inherited(path, None, str(path))


def require_room(inherited: Inherited, folder: Path, trusted: Sequence[str]) -> None:
    """Raise StorageError unless SPACE_FACTOR times the checkpoint is free at `folder`."""
    with state.storage("look at", inherited.source):
        total = surveyed(inherited.source, folder, trusted).total
    with state.storage("look at", folder):
        space = os.statvfs(folder)
    free, needed = space.f_bavail * space.f_frsize, SPACE_FACTOR * total
    if space.f_blocks and free < needed:
        raise StorageError(
            f"only {_size(free)} are free at {folder}: the parent's checkpoint has {_size(total)},"
            f" and {SPACE_FACTOR} times that is needed",
            f"free {_size(needed - free)}, or go on without it: --parent-ckpt none",
        )


def copy(inherited: Inherited, folder: Path, trusted: Sequence[str]) -> None:
    """Copy it into the new folder `folder`, with its meta.json. Raises Refused if its bytes are others."""
    with state.storage("copy the parent's checkpoint to", folder):
        operations.mkdir(folder)
        plan = surveyed(inherited.source, folder / inherited.source.name, trusted)
        copied = named(Copier(plan, no_report, no_room).run(), folder)
        meta = inherited.meta
        if meta is not None and meta.files not in ({}, copied):  # earlier versions did not hash
            other = sorted(n for n in {*meta.files, *copied} if meta.files.get(n) != copied.get(n))
            why = f"is not as it was promoted: {', '.join(other[:3])}"
            raise Refused(f"the parent's checkpoint {inherited.shown} {why}", ANOTHER)
        if meta is not None:
            durable.write(folder / META, state.encode(replace(meta, files=copied)), folder=False)
        durable.sync_folder(folder)


def _size(count: int) -> str:
    return shown(count / (1 << 20))
