"""Writes a file for the user: whole, or not at all."""

import contextlib
import os
import stat
from threading import get_native_id

from ardaemon.core.errors import StorageError, UsageError

MODE = 0o644  # less what the umask takes
OTHER = "name another file with -o FILE"  # what to do where a file cannot be written


def require_file(path: str) -> None:
    """Raise UsageError if something else than a plain file stands at `path`.

    To rename a file over a device or a link would put it in their place.
    """
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # nothing stands there; what else is wrong, write() says
        return
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a link" if stat.S_ISLNK(mode) else "no plain file"
        raise UsageError(f"{path} is {what}", "name a file with -o FILE; -o - writes to the standard output")


def write(path: str, data: bytes, mend: str = OTHER) -> None:
    """Put `data` at `path` by a rename, so that whoever reads it meets a whole file. Raises StorageError."""
    temporary = os.path.join(os.path.dirname(path), f".arctl-{get_native_id()}.tmp")
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # of a killed thread that had the same number
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    except OSError as error:
        raise _failed(path, error, mend) from error
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.replace(temporary, path)
    except BaseException as error:  # Ctrl+C as well, which may come when the file is in its place already
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise _failed(path, error, mend) from error
        raise


def _failed(path: str, error: OSError, mend: str) -> StorageError:
    return StorageError(f"{path} cannot be written: {error.strerror}", mend)
