"""Folders that are the user's alone, and the way to them (standard library alone)."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ardaemon.core.errors import StorageError

LINKS_MAX = 40  # symlinks on the way to one file, as the kernel has it


def private_folder(folder: Path) -> Path:
    """Make `folder` with mode 0700, or check that it is ours alone; never follow a symlink in its place.

    Nobody else may be able to put another folder in its place either: whoever could would choose what is
    run (active/) and who answers (the socket). Raises StorageError.
    """
    try:
        _make(folder)
        found = folder.lstat()
        fault = _fault(folder, found) or first_weak(folder.parent)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be made or looked at: {error.strerror} ({error.filename})",
            "mend that, or set XDG_STATE_HOME (state) or XDG_RUNTIME_DIR (socket) to another folder of yours",
        ) from error
    if fault is not None:
        raise fault
    return folder


def _make(folder: Path) -> None:
    """As the XDG base directories want it: what is missing is made with mode 0700, whatever the umask."""
    if not folder.parent.exists():
        _make(folder.parent)
    try:
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)
    except FileExistsError:
        pass


def _fault(folder: Path, found: os.stat_result) -> StorageError | None:
    """What is wrong with the private folder itself."""
    if not stat.S_ISDIR(found.st_mode):
        return StorageError(f"{folder} is not a directory (and no symlink is followed there)", "remove it")
    if found.st_uid != os.getuid():
        return StorageError(
            f"{folder} belongs to another user (uid {found.st_uid})",
            "have it removed, or set XDG_STATE_HOME (state) or XDG_RUNTIME_DIR (socket) to a folder of yours",
        )
    if found.st_mode & 0o077:
        return StorageError(f"{folder} is open to other users", f"run: chmod 700 {folder}")
    return None


def _way(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each folder and each symlink on the way to `path`, from the root on (path_resolution(7))."""
    at, todo, links = "/", [*reversed(path.absolute().parts[1:])], 0
    yield at, os.lstat(at)
    while todo:
        name = todo.pop()
        there = os.path.dirname(at) if name == ".." else os.path.join(at, name)
        found = os.lstat(there)
        yield there, found
        if not stat.S_ISLNK(found.st_mode):
            at = there
            continue
        links += 1
        if links > LINKS_MAX:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), there)
        target = Path(os.readlink(there))
        at = "/" if target.is_absolute() else at
        todo += reversed(target.parts[target.is_absolute() :])


def first_weak(path: Path) -> StorageError | None:
    """The first folder or symlink on the way to `path`, itself included, that another user could replace."""
    return next(filter(None, (_weak(there, found) for there, found in _way(path))), None)


def _weak(path: str, found: os.stat_result) -> StorageError | None:
    """Could another user than root put something else in the place of what lies below?

    Members of one's own group may write to a folder that one opened to them: with a group per user (the
    default of most systems, with umask 002) that is nobody.
    """
    if not _trusted(found.st_uid):
        return StorageError(
            f"{path} belongs to another user (uid {found.st_uid}), who could replace what is below it",
            "set XDG_STATE_HOME (state) or XDG_RUNTIME_DIR (socket) to a folder of yours",
        )
    if stat.S_ISLNK(found.st_mode) or found.st_mode & stat.S_ISVTX:
        return None
    open_to_group = found.st_mode & 0o020 and found.st_gid not in (0, os.getgid())
    if open_to_group or found.st_mode & 0o002:
        return StorageError(
            f"{path} can be written by other users, who could replace what is below it",
            f"run: chmod go-w {path} (or +t); or set XDG_STATE_HOME (state) or XDG_RUNTIME_DIR (socket)",
        )
    return None


def _trusted(uid: int) -> bool:
    """Ours or root's. In a sandbox's user namespace root may show as nobody (user_namespaces(7))."""
    if uid in (0, os.getuid()):
        return True
    everyone = Path("/proc/self/uid_map").read_text(encoding="ascii").split() == ["0", "0", "4294967295"]
    return not everyone and uid == int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
