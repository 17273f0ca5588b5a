"""Tells whether .ckpt/ or archive/ is the experiment's own, and which copies in .ckpt/ promote() has made."""

import contextlib
import os
from pathlib import Path

from ardaemon.core import file_kinds
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import CHECKPOINT_META, FOLDER, run_number
from ardaemon.core.model import Record
from ardaemon.host import state


class _Meta(Record, frozen=True, kw_only=True):
    """The part of a promoted checkpoint's meta.json that names its run."""

    run_id: str


def fault(place: Path) -> str | None:
    """Say why nothing may be written or removed in a folder like .ckpt/; None if it is the experiment's own.

    The folder may be a link to another disk. A link that came with a clone may lead to another experiment,
    whose folders have the same names.
    """
    if place.is_symlink() and FOLDER in Path(os.path.realpath(place)).parts:
        return f"{place.name} is a link into {FOLDER}, where experiments keep their own: remove it"
    return None


def promoted_at(folder: Path) -> float | None:
    """Return when promote() has made the copy, in seconds since 1970; None if it has not made this folder."""
    meta = folder / CHECKPOINT_META
    with contextlib.suppress(ArdaemonError, OSError):
        run_number(folder.name)  # what bears no run's id is not opened: a link may lead to anything
        named = state.read(meta, _Meta, file_kinds.TREE)
        if named is not None and named.run_id == folder.name:
            return meta.stat().st_mtime
    return None
