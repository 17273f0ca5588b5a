"""Folders that only the user can read or replace (standard library alone)."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ardaemon.core.errors import StorageError
from ardaemon.core.owner import is_ours, user

LINKS_MAX = 40  # symlinks on the way to one file; the kernel's own limit (path_resolution(7))


def private_folder(folder: Path) -> Path:
    """Make `folder` with mode 0700, or check that it is this user's alone, and return it.

    A symlink in its place is never followed. No other user may be able to put another folder in its place
    either: whoever could would choose what is run (active/) and who answers (the socket). Raises
    StorageError.
    """
    try:
        _make(folder)
        fault = _fault(folder, folder.lstat()) or first_weak(folder.parent)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be made or looked at: {error.strerror} ({error.filename})",
            "mend that, or set XDG_STATE_HOME (state) or XDG_RUNTIME_DIR (socket) to another folder of yours",
        ) from error
    if fault is not None:
        raise fault
    return folder


def _make(folder: Path) -> None:
    """Make `folder` and its missing parents, as XDG has it: mode 0700, whatever the umask."""
    if not folder.parent.exists():
        _make(folder.parent)
    try:
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)
    except FileExistsError:
        pass


def _fault(folder: Path, status: os.stat_result) -> StorageError | None:
    """Return the error for `folder` itself if it is not a folder of this user's alone, else None."""
    if not stat.S_ISDIR(status.st_mode):
        return StorageError(f"{folder} is not a directory (and no symlink is followed there)", "remove it")
    if status.st_uid != os.getuid():
        return StorageError(
            f"{folder} belongs to another user ({user(status.st_uid)})",
            "have it removed, or set XDG_STATE_HOME (state) or XDG_RUNTIME_DIR (socket) to a folder of yours",
        )
    if status.st_mode & 0o077:
        return StorageError(f"{folder} is open to other users", f"run: chmod 700 {folder}")
    return None


def _way(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each folder and each symlink on the way to `path`, from the root on (path_resolution(7))."""
    at, todo, links = "/", [*reversed(path.absolute().parts[1:])], 0
    yield at, os.lstat(at)
    while todo:
        name = todo.pop()
        there = os.path.dirname(at) if name == ".." else os.path.join(at, name)
        status = os.lstat(there)
        yield there, status
        if not stat.S_ISLNK(status.st_mode):
            at = there
            continue
        links += 1
        if links > LINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), there)
        target = Path(os.readlink(there))
        at = "/" if target.is_absolute() else at
        todo += reversed(target.parts[target.is_absolute() :])


def first_weak(path: Path) -> StorageError | None:
    """Return the error for the first folder or symlink on the way to `path` that another user could replace.

    `path` itself is included. Return None if there is none.
    """
    return next(filter(None, (_weak(there, status) for there, status in _way(path))), None)


def _weak(path: str, status: os.stat_result) -> StorageError | None:
    """Return the error for `path` if a user other than root could replace what lies below it, else None.

    Members of the user's own group may write to a folder that the user opened to them: with one group per
    user (the default of most systems, with umask 002) that is nobody.
    """
    if not is_ours(status.st_uid):
        return StorageError(
            f"{path} belongs to another user ({user(status.st_uid)}), who could replace what is below it",
            "set XDG_STATE_HOME (state) or XDG_RUNTIME_DIR (socket) to a folder of yours",
        )
    if stat.S_ISLNK(status.st_mode) or status.st_mode & stat.S_ISVTX:
        return None
    open_to_group = status.st_mode & 0o020 and status.st_gid not in (0, os.getgid())
    if open_to_group or status.st_mode & 0o002:
        return StorageError(
            f"{path} can be written by other users, who could replace what is below it",
            f"run: chmod go-w {path} (or +t); or set XDG_STATE_HOME (state) or XDG_RUNTIME_DIR (socket)",
        )
    return None
