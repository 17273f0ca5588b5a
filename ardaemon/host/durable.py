"""Durable writes: temporary file in the same folder, fsync, rename, fsync of the folder.

OSError goes to the caller, who knows what was being written. A failed write leaves the old file as it was.
Each step is one function of host/operations.py. The shim imports this module, so it takes the standard
library alone and of it only what loads fast (no contextlib, no typing).
"""

import errno
import itertools
import os

from ardaemon.core import file_kinds, files
from ardaemon.host import operations, proc
from ardaemon.host.operations import Path

TYPE_CHECKING = False  # typing costs more to import than this module
if TYPE_CHECKING:
    from collections.abc import Callable


def write(path: Path, data: bytes, mode: int = 0o644, folder: bool = True) -> None:
    """Put `data` at `path`. Whatever happens, a reader finds the whole old content or the whole new one.

    The file has of `mode` what the umask leaves. A copy of a file has the mode that mode_of() returns.
    `folder=False` leaves the fsync of the folder to the caller, who has more to write there first.
    """
    with staged(path, data, mode) as temporary:
        operations.rename(temporary, path)
    if folder:
        sync_folder(os.path.dirname(path))


def write_new(path: Path, data: bytes, mode: int = 0o644) -> bool:
    """Put `data` at `path` as write() does if nothing stands there, and return whether it was put there."""
    with staged(path, data, mode) as temporary:
        placed = _link_free(temporary, os.fspath(path))
    remove(temporary)
    sync_folder(os.path.dirname(path))
    return placed


def publish(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put `data` at `path` as write() does, but without fsync: a power cut makes its facts meaningless."""
    with staged(path, data, mode, sync=False) as temporary:
        operations.rename(temporary, path)


def mode_of(path: Path, most: int) -> int:
    """Return a mode for a copy of the file `path`: of `most`, for others no more than the file allows them.

    If there is no such file, it is nothing for others.
    """
    try:
        allowed = os.stat(path).st_mode
    except OSError:
        allowed = 0
    return most & (allowed | 0o600)


_count = itertools.count()
_starts: dict[int, int | None] = {}  # of this process: pid -> start time; a forked child has its own


def temporary_name(path: Path) -> str:
    """Return a name beside `path` that no other write of this machine uses: by pid, start time and number."""
    folder, name = os.path.split(os.fspath(path))
    pid = os.getpid()
    if pid not in _starts:
        _starts[pid] = proc.start_time(pid)
    return os.path.join(folder, f".{name}.{pid}-{_starts[pid]}.{next(_count)}.tmp")


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left in `folder`."""
    for name in os.listdir(folder):
        parts = name.split(".")
        if len(parts) > 4 and parts[-1] == "tmp" and parts[-2].isdigit() and _is_over(parts[-3]):
            remove(os.path.join(folder, name))


def _is_over(writer: str) -> bool:
    """Tell whether a name has a writer, by pid and start time, that lives no more.

    A pid alone, as earlier versions wrote it, may be another process's by now: then the file stays.
    """
    pid, _, start = writer.partition("-")
    if not pid.isdigit():
        return False
    now = proc.start_time(int(pid))
    return now is None or start not in ("", str(now))


def swap_file(path: Path) -> str:
    """Return the name under which swap() keeps one version for a moment.

    A file of that name after a kill may be somebody's edit, so it must not be thrown away.
    """
    folder, name = os.path.split(os.fspath(path))
    return os.path.join(folder, f".{name}.swap")


class staged:
    """A synced temporary file beside `path`, which the block renames; removed again if the block fails."""

    def __init__(self, path: Path, data: bytes, mode: int = 0o644, sync: bool = True) -> None:
        self.temporary = temporary_name(path)
        self.data, self.mode, self.sync = data, mode, sync

    def __enter__(self) -> str:
        try:
            self._fill()
        except Exception:
            self._discard()
            raise
        return self.temporary

    def _fill(self) -> None:
        try:
            fd = operations.create(self.temporary, os.O_EXCL, self.mode)
        except FileExistsError:  # of a killed process that had the same pid
            remove(self.temporary)
            fd = operations.create(self.temporary, os.O_EXCL, self.mode)
        try:
            operations.write(fd, self.data)
            if self.sync:
                operations.fsync(fd)
        finally:
            os.close(fd)

    def __exit__(self, _: object, error: object, __: object) -> None:
        if error is not None:
            self._discard()

    def _discard(self) -> None:
        try:
            operations.unlink(self.temporary)
        except OSError:
            pass  # the folder is gone


def append(path: Path, data: bytes, mode: int = 0o644, sync: bool = True) -> None:
    """Add `data` at the end of `path` and sync it. A crash in between leaves a torn last line.

    A file that is not there yet gets of `mode` what the umask leaves. `sync=False` is for what can be made
    anew from other files.
    """
    fd = operations.create(path, os.O_APPEND, mode)
    try:
        operations.write(fd, data)
        if sync:
            operations.fsync(fd)
    finally:
        os.close(fd)


def tighten(path: Path, mode: int) -> None:
    """Take from the permissions of `path`, if it is there, what `mode` does not have."""
    try:
        fd = operations.reopen(path)
    except FileNotFoundError:
        return
    try:
        allowed = os.fstat(fd).st_mode & 0o7777
        if allowed & ~mode:
            operations.chmod(fd, allowed & mode)
    finally:
        os.close(fd)


def truncate(path: Path, size: int) -> None:
    """Cut `path` to `size` bytes and sync it."""
    fd = operations.reopen(path)
    try:
        operations.truncate(fd, size)
        operations.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: Path) -> None:
    """Create the folder `path` if it is not there, and sync its name in the parent."""
    try:
        operations.mkdir(path)
    except FileExistsError:
        return
    sync_folder(os.path.dirname(os.fspath(path)))


def make_own_folder(path: Path, folder: bool = True) -> None:
    """Create the folder `path` if it is not there, and follow no link that stands there: NotPlain is raised.

    For folders in which nobody but the daemon makes anything, where a clone may have brought a link along.
    `folder=False` leaves the sync of its name to the caller.
    """
    try:
        operations.mkdir(path)
    except FileExistsError:
        return files.require_folder(path)
    if folder:
        sync_folder(os.path.dirname(os.fspath(path)))
    return None


def rename(old: Path, new: Path) -> None:
    """Rename and sync the folders of both names."""
    operations.rename(old, new)
    folders = {os.path.dirname(os.fspath(old)), os.path.dirname(os.fspath(new))}
    for folder in folders:
        sync_folder(folder)


def link_to(target: str, path: Path, folder: bool = True) -> None:
    """Point the symlink `path` at `target`, and replace an older symlink atomically.

    `folder=False` is for a link that can be made anew: its name is not synced.
    """
    temporary = temporary_name(path)
    operations.symlink(target, temporary)
    try:
        operations.rename(temporary, path)
    except OSError:
        remove(temporary)
        raise
    if folder:
        sync_folder(os.path.dirname(temporary))


def remove_tree(path: Path) -> bool:
    """Remove a folder with all that is in it, and return whether it is gone.

    A symlink is never followed. A file that cannot be removed is passed over.
    """
    if os.path.islink(path):
        return False
    todo, folders = [os.fspath(path)], []
    while todo:  # os.walk would call itself for each level, and fail in a deep tree
        folders.append(todo.pop())
        below, others = _listed(folders[-1])
        todo += below
        for name in others:
            _try(operations.unlink, name)
    for folder in reversed(folders):
        _try(operations.rmdir, folder)
    return not os.path.lexists(path)


def _listed(folder: str) -> tuple[list[str], list[str]]:
    """Return the paths of the folders in a folder, and of what else is there."""
    below: list[str] = []
    others: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                (below if entry.is_dir(follow_symlinks=False) else others).append(entry.path)
    except OSError:
        pass  # gone, or not to be read: the folder above will not be empty then
    return below, others


def _try(operation: "Callable[[str], None]", path: str) -> None:
    try:
        operation(path)
    except OSError:
        pass  # open elsewhere (NFS), or another user's: it is litter, and nothing depends on it


# What may be copied of a file's permissions: nothing that lets others write, and no setuid or setgid, which
# would have the copy run as its new owner.
COPIED_MODE = 0o755


def copy(source: int, target: Path, copied: "Callable[[int], None]" = lambda _: None) -> None:
    """Copy an open file to the new file `target` and sync it; `copied` as in operations.copy.

    The copy has the same times, and of the permissions what COPIED_MODE and the umask leave.
    """
    status = os.fstat(source)
    fd = operations.create(target, os.O_EXCL, status.st_mode & COPIED_MODE)
    try:
        operations.copy(source, fd, status.st_size, copied)
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
        operations.fsync(fd)
    finally:
        os.close(fd)


def remove(path: Path) -> None:
    """Unlink `path` if it is there, without a sync: the next start removes a file that comes back."""
    try:
        operations.unlink(path)
    except FileNotFoundError:
        pass


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    operations.fsync_folder(folder or ".")


def swap(
    path: Path, data: bytes, ours: "Callable[[bytes], bool]", mode: int = 0o644, folder: bool = True
) -> bool:
    """Replace the content of `path` by `data` only if `ours` accepts the content that stands there.

    Return False, and keep the file, if `ours` refuses: it is somebody's edit. Looking first and writing then
    would lose an edit that is saved in between. So the two files are exchanged in one step, the one that came
    out is looked at, and it is put back if it is foreign. If there is no file at `path`, `data` is put there.
    """
    aside = swap_file(path)
    with staged(path, data, mode) as temporary:
        operations.rename(temporary, aside)  # whole and synced: a torn file never bears this name
    swapped = _swap(aside, os.fspath(path), data, ours)
    remove(aside)
    if swapped and folder:
        sync_folder(os.path.dirname(path))
    return swapped


def _swap(temporary: str, path: str, data: bytes, ours: "Callable[[bytes], bool]") -> bool:
    while not _exchange(temporary, path):
        if _link_free(temporary, path):
            return True
    replaced = _read(temporary)
    if replaced is not None and ours(replaced):
        return True
    _put_back(temporary, path, data, replaced)
    return False


def _put_back(temporary: str, path: str, placed: bytes | None, edit: bytes | None) -> None:
    """Put `edit`, which stands in `temporary`, back at `path`, where we have put `placed`.

    If somebody saved over `placed` in this moment, that version is the newer edit, and it goes back instead:
    the loop ends when the version that comes out is the one that we put in.
    """
    while _exchange(temporary, path):
        replaced = _read(temporary)
        if replaced == placed:
            return
        placed, edit = edit, replaced
    _link_free(temporary, path)  # the name was moved away meanwhile


def _link_free(temporary: str, path: str) -> bool:
    """Give the file the name `path` as well, and return True; False if that name is taken."""
    try:
        operations.link(temporary, path)
    except FileExistsError:
        return False
    except FileNotFoundError:  # somebody removed it, or the folder: a copy would leave an empty file
        raise
    except OSError:  # a filesystem without hard links
        return _copy_free(temporary, path)
    return True


def _copy_free(temporary: str, path: str) -> bool:
    try:
        fd = operations.create(path, os.O_EXCL, mode_of(temporary, 0o777))
    except FileExistsError:
        return False
    try:
        operations.write(fd, files.read(temporary, file_kinds.EDIT))
        operations.fsync(fd)
    finally:
        os.close(fd)
    return True


def _exchange(one: str, other: str) -> bool:
    """Exchange two names atomically, and return True; False if `other` does not exist."""
    try:
        operations.exchange(one, other)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS):
            return _exchange_by_renames(one, other)
        raise
    return True


def _exchange_by_renames(one: str, other: str) -> bool:
    aside = temporary_name(other)
    try:
        operations.rename(other, aside)
    except FileNotFoundError:
        return False
    try:
        placed = _link_free(one, other)
    except OSError:
        _link_free(aside, other)
        raise
    if not placed:  # somebody took the name in this moment: both versions stay, under visible names
        operations.rename(aside, f"{other}.rescued-{os.stat(aside).st_mtime_ns}")
        raise FileExistsError(errno.EEXIST, "it was written in the same moment", other)
    operations.rename(aside, one)
    return True


def _read(path: str) -> bytes | None:
    """Return the bytes of an edit; None where no plain file of ours stands there, or too large a one."""
    try:
        return files.read(path, file_kinds.EDIT)
    except (files.NotPlain, files.ForeignFile):
        return None
