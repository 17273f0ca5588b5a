"""Chooses the folder for the leases of this machine's GPUs (gpus/lease.py), and checks that it is safe.

The daemons of all users must choose the same folder, so the choice depends on the folder, never on who asks.
"""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from ardaemon.core import private

# Debian and Ubuntu have the first for everybody; elsewhere (Fedora, Arch) it is root's alone. There is no
# folder of our own below them: the user who made it could remove other users' files in it, sticky or not
# (unlink(2)).
DEFAULTS = (Path("/run/lock"), Path("/tmp"))
OPEN_TO_ALL = 0o1777


class LeaseFolder(NamedTuple):
    """The chosen folder, and a warning for a person. Without a folder (None) no lease is taken."""

    folder: Path | None
    warning: str = ""


def find(configured: str | None, defaults: tuple[Path, ...] = DEFAULTS) -> LeaseFolder:
    """Choose the folder.

    A configured one is kept even if something is wrong: runs wait until that is mended.
    """
    if configured is not None:
        fault = fault_of(Path(configured))
        return LeaseFolder(Path(configured), f"GPU leases: {fault}" if fault else "")
    for folder in defaults:
        if fault_of(folder) is None and stat.S_IMODE(folder.lstat().st_mode) & OPEN_TO_ALL == OPEN_TO_ALL:
            return LeaseFolder(folder, "" if folder == defaults[0] else _second_best(folder, defaults[0]))
    return LeaseFolder(
        None,
        f"GPU leases: neither {' nor '.join(map(str, defaults))} is a sticky folder of root's for everybody;"
        " another user's daemon may take the same GPU (set lease_folder in config.toml)",
    )


def fault_of(folder: Path) -> str | None:
    """Say why no lease can be kept in `folder`; None if it can."""
    try:
        status = folder.lstat()
        weak = private.first_weak(folder)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is not a directory (and no symlink is followed there)"
    if weak is not None:
        return weak.message
    return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} cannot be written by you"


def _second_best(folder: Path, first: Path) -> str:
    return (
        f"GPU leases: in {folder}, as {first} is not for all users here; a daemon that sees another {folder}"
        " (PrivateTmp, a container) may take the same GPU"
    )
