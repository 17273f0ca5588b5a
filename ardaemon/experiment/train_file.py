"""Reads train.py with care, and replaces it only if no edit is lost."""

import hashlib
import os
import stat
from collections.abc import Collection
from pathlib import Path

from ardaemon.core.config import TRAIN_MAX_BYTES
from ardaemon.core.errors import BadTrainFile
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Placed, TrainFile
from ardaemon.host import durable, operations
from ardaemon.host.state import storage


def sha256(data: bytes) -> str:
    """Return the hash by which versions of train.py are told apart."""
    return hashlib.sha256(data).hexdigest()


def read(path: Path) -> bytes:
    """Read the whole script. Raises BadTrainFile if it is missing, empty, a link, too large or no text."""
    try:
        data = _plain(path)
    except FileNotFoundError:
        raise BadTrainFile(
            f"{path} is missing", "write it, or: arctl session start --resume revert"
        ) from None
    except OSError as error:
        raise BadTrainFile(f"{path} cannot be read: {error.strerror}", "it must be a plain file") from error
    if data is None:
        raise BadTrainFile(f"{path} is not a plain file", "replace it by the script itself")
    return _checked(path, data)


def _plain(path: Path) -> bytes | None:
    """Read up to a byte more than the limit; None for a folder, a FIFO or a device, which could block."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with open(fd, "rb") as file:
        return file.read(TRAIN_MAX_BYTES + 1)


def _checked(path: Path, data: bytes) -> bytes:
    if not data.strip():
        raise BadTrainFile(f"{path} is empty", "write the script again; earlier versions are in runs/")
    if len(data) > TRAIN_MAX_BYTES:
        raise BadTrainFile(f"{path} is larger than {TRAIN_MAX_BYTES >> 20} MiB", "keep data in other files")
    try:
        if "\0" in data.decode("utf-8"):
            raise ValueError("it holds NUL bytes")
    except ValueError as error:
        raise BadTrainFile(f"{path} is not a text file: {error}", "save it as UTF-8 text") from error
    return data


def current(experiment: Experiment) -> str | None:
    """Return the hash of train.py as it is now; None if it cannot be read."""
    try:
        data = _plain(experiment.train)
    except OSError:
        return None
    return None if data is None else sha256(data)


def holds(path: Path, version: str) -> bool:
    """Tell whether that very version is at `path`; False where nothing can be read there."""
    try:
        data = _plain(path)
    except OSError:
        return False
    return data is not None and sha256(data) == version


def place(experiment: Experiment, target: Placed, accepted: Collection[str], mine: str | None) -> TrainFile:
    """Make train.py the version `target`, unless someone has edited it since. The caller syncs the folder.

    `accepted` are the hashes of the versions that may be overwritten. `mine` is the hash of the run's own
    snapshot, by
    which a `target` that stands there already is reported as `kept` or as `restored`.
    """
    advancing = target.sha256 == mine
    with storage("restore", experiment.train):
        if _rescue(experiment, {target.sha256, *accepted}):
            return "edited_since"
    standing = current(experiment)
    if standing == target.sha256:
        return "kept" if advancing else "restored"
    if standing not in accepted and os.path.lexists(experiment.train):
        return "edited_since"  # plainly an edit: the file is not touched at all
    with storage("restore", experiment.train):
        data = experiment.run(target.run_id).train.read_bytes()
        swapped = durable.swap(
            experiment.train, data, lambda old: sha256(old) in accepted, _mode(experiment), folder=False
        )
    if not swapped:
        return "edited_since"
    return "updated" if advancing else "restored"


def _rescue(experiment: Experiment, accepted: Collection[str]) -> bool:
    """Put back an edit that a daemon killed in mid-swap left in the swap file; return whether that was done.

    A version in `accepted` is no edit, and is removed. The edit gets a visible name first, so that no further
    kill
    can lose it.
    """
    swap_file = Path(durable.swap_file(experiment.train))
    try:
        data = swap_file.read_bytes()
    except FileNotFoundError:
        return False
    if sha256(data) in accepted:
        durable.remove(swap_file)
        return False
    visible = experiment.folder / f"train.py.rescued-{swap_file.stat().st_mtime_ns}"
    operations.rename(swap_file, visible)
    # A newer edit may stand in train.py already: then both stay.
    if not durable.swap(experiment.train, data, lambda old: sha256(old) in accepted, _mode(experiment)):
        return False
    durable.remove(visible)
    return True


def _mode(experiment: Experiment) -> int:
    try:
        return stat.S_IMODE(experiment.train.stat().st_mode) | 0o600
    except OSError:
        return 0o644
