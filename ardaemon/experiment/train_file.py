"""Reads train.py, and the versions of it that are kept, with care."""

import errno
import hashlib
from pathlib import Path

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import BadTrainFile
from ardaemon.core.layout import Experiment
from ardaemon.core.project import foreign_file
from ardaemon.host import obstacle


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
        slug = path.parent.name
        back = f"arctl session stop --expr {slug} && arctl session start --resume revert --expr {slug}"
        raise BadTrainFile(
            f"{path} is missing",
            f"write it, or: {back}" if kind is file_kinds.TRAIN else "name one that is there",
        ) from None
    except files.NotPlain as error:
        raise _not_plain(path, error) from error
    except files.ForeignFile as error:
        raise foreign_file(str(path), error.uid) from error
    except OSError as error:
        found = obstacle.find(str(path), error)
        why = "" if found is None else f" ({found.path}: {found.why})"
        mend = "check the disk" if found is None else found.mend
        raise BadTrainFile(f"{path} cannot be read: {error.strerror}{why}", mend) from error
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
