"""Reads train.py with care, and replaces it only if no edit is lost."""

import errno
import hashlib
import os
from collections.abc import Collection
from pathlib import Path

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import BadTrainFile
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Placed, TrainFile
from ardaemon.core.project import foreign_file
from ardaemon.host import durable, operations
from ardaemon.host.state import storage


def sha256(data: bytes) -> str:
    """Return the hash by which versions of train.py are told apart."""
    return hashlib.sha256(data).hexdigest()


def read(path: Path, kind: file_kinds.Kind = file_kinds.TRAIN) -> bytes:
    """Read the whole script. Raises BadTrainFile if it is missing, empty, a link, too large or no text.

    Raises ForeignOwner if it is another user's. A `kind` that takes links or others' files is obeyed.
    """
    try:
        data = files.read(path, kind)
    except FileNotFoundError:
        raise BadTrainFile(
            f"{path} is missing", "write it, or: arctl session start --resume revert"
        ) from None
    except files.NotPlain as error:
        raise _not_plain(path, error) from error
    except files.ForeignFile as error:
        raise foreign_file(str(path), error.uid) from error
    except OSError as error:
        raise BadTrainFile(f"{path} cannot be read: {error.strerror}", "it must be a plain file") from error
    return _checked(path, data)


def _not_plain(path: Path, error: files.NotPlain) -> BadTrainFile:
    if error.errno == errno.EFBIG:
        return BadTrainFile(f"{path}: {error.strerror}", "keep data in other files")
    return BadTrainFile(f"{path}: {error.strerror}", "replace it by the script itself")


def snapshot(path: Path) -> bytes:
    """Return a version that was kept, to be placed again. Raises OSError."""
    return files.read(path, file_kinds.TRAIN)


def _checked(path: Path, data: bytes) -> bytes:
    if not data.strip():
        raise BadTrainFile(f"{path} is empty", "write the script again; earlier versions are in runs/")
    try:
        if "\0" in data.decode("utf-8"):
            raise ValueError("it holds NUL bytes")
    except ValueError as error:
        raise BadTrainFile(f"{path} is not a text file: {error}", "save it as UTF-8 text") from error
    return data


def current(experiment: Experiment) -> str | None:
    """Return the hash of train.py as it is now; None if it cannot be read."""
    return hash_at(experiment.train)


def hash_at(path: Path) -> str | None:
    """Return the hash of the file's first bytes (one that is cut off is none of ours); None: unreadable."""
    try:
        return sha256(files.head(path, file_kinds.TRAIN.most + 1, file_kinds.TRAIN))
    except OSError:
        return None


def kept(experiment: Experiment, run_id: str) -> Placed:
    """Return the version that a run keeps. Raises StorageError."""
    path = experiment.run(run_id).train
    with storage("read", path):
        return Placed(run_id, sha256(snapshot(path)))


def place(experiment: Experiment, target: Placed, accepted: Collection[str], mine: str | None) -> TrainFile:
    """Make train.py the version `target`, unless someone has edited it since. The caller syncs the folder.

    `accepted` are the hashes of the versions that may be overwritten. `mine` is the hash of the run's
    own snapshot, by which a `target` that stands there already is reported as `kept` or as `restored`.
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
        source = experiment.run(target.run_id).train
        data, mode = snapshot(source), _mode(experiment, source)
        swapped = durable.swap(
            experiment.train, data, lambda old: sha256(old) in accepted, mode, folder=False
        )
    if not swapped:
        return "edited_since"
    return "updated" if advancing else "restored"


def _rescue(experiment: Experiment, accepted: Collection[str]) -> bool:
    """Put back an edit that a daemon killed in mid-swap left in the swap file; return whether that was done.

    A version in `accepted` is no edit, and is removed. The edit gets a visible name first, so that no
    further kill can lose it.
    """
    swap_file = Path(durable.swap_file(experiment.train))
    try:
        data = files.read(swap_file, file_kinds.EDIT)
    except FileNotFoundError:
        return False
    if sha256(data) in accepted:
        durable.remove(swap_file)
        return False
    visible = experiment.folder / f"train.py.rescued-{swap_file.stat().st_mtime_ns}"
    operations.rename(swap_file, visible)
    # A newer edit may stand in train.py already: then both stay.
    mode = _mode(experiment, visible)
    if not durable.swap(experiment.train, data, lambda old: sha256(old) in accepted, mode):
        return False
    durable.remove(visible)
    return True


def _mode(experiment: Experiment, target: Path) -> int:
    """Return the mode of train.py, which a person may have changed; without one, a copy's of `target`."""
    if experiment.train.exists():
        return durable.mode_of(experiment.train, 0o777)
    return durable.mode_of(target, 0o644)
