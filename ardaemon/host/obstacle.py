"""Says what really stands in the way where a file cannot be written: which file or folder, whose, and why.

The kernel's own word (`Is a directory`, `Permission denied`) names the call that failed, and often the wrong
one of its two paths. So this looks at the path and the folders above it, as whoever mends it would.
"""

import errno
import os
import shlex
import stat
from typing import NamedTuple

from ardaemon.core.owner import user
from ardaemon.host import operations

_WRONG_KIND = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP)
_NO_RIGHT = (errno.EACCES, errno.EPERM)


# Errors of the whole disk: no change of a folder tells that they are over.
OF_THE_DISK = (*operations.FULL, errno.EIO, errno.EROFS)


class Obstacle(NamedTuple):
    """One thing in the way: its path, what is wrong with it, and the command that mends it."""

    path: str
    why: str
    mend: str


def find(path: str, error: OSError) -> Obstacle | None:
    """Return what keeps `path` from being read or written, as far as a look tells; None: it tells nothing."""
    if error.errno in _WRONG_KIND:
        return _wrong_kind(path)
    if error.errno in _NO_RIGHT:
        # What the call has named may lie elsewhere: a second copy, or further down.
        named = [one for one in (error.filename, error.filename2) if isinstance(one, str) and one[:1] == "/"]
        closed = (obstacle for one in (*named, path) if (obstacle := _no_right(one)) is not None)
        return next(closed, None) or _attribute(path)
    return None


def _wrong_kind(path: str) -> Obstacle | None:
    """Return a folder that stands in the file's place, or what stands in the place of a folder above it."""
    for above in _above(path):
        if not os.path.isdir(above) and os.path.lexists(above):
            return Obstacle(above, f"{_kind(above)} stands there, not a folder", _move_away(above))
    if os.path.isdir(path) and not os.path.islink(path):
        return Obstacle(path, f"{_kind(path)} stands there, not a file", _move_away(path))
    return None


def _no_right(path: str) -> Obstacle | None:
    """Return the folder or the file that is closed; None where the modes allow everything."""
    folders = _folders_above(path)
    shut = next((one for one in folders if not os.access(one, os.X_OK)), None)
    if shut is not None:
        return _closed(shut, "rwx")
    is_folder = os.path.isdir(path)
    if os.path.exists(path) and not os.access(path, os.R_OK | (os.X_OK if is_folder else 0)):
        return _closed(path, "rwx" if is_folder else "rw")
    folder = folders[-1] if folders else "/"
    if not os.access(folder, os.W_OK):
        return _closed(folder, "wx")
    return _closed(path, "w") if os.path.exists(path) and not os.access(path, os.W_OK) else None


def _folders_above(path: str) -> list[str]:
    """Return the folders above a path that are seen, the highest first: below a closed one, none is."""
    return [one for one in _above(path) if os.path.isdir(one)]


def _attribute(path: str) -> Obstacle:
    there = [one for one in (*_folders_above(path)[-1:], path) if os.path.lexists(one)]
    return Obstacle(
        path, "the modes allow it", f"look for an attribute (+i, +a): {shlex.join(['lsattr', '-d', *there])}"
    )


def _closed(path: str, letters: str) -> Obstacle:
    status = os.stat(path)
    mode = f"mode {stat.S_IMODE(status.st_mode):04o}"
    if status.st_uid == os.getuid():
        return Obstacle(path, f"its {mode} forbids it", f"chmod u+{letters} {shlex.quote(path)}")
    mend = f"sudo chown {os.getuid()} {shlex.quote(path)}"
    return Obstacle(path, f"it belongs to {user(status.st_uid)}, {mode}", mend)


def _above(path: str) -> list[str]:
    """Return the folders above a path, the highest first."""
    folders = []
    while (above := os.path.dirname(path)) != path:
        folders.append(above)
        path = above
    return folders[::-1]


def _kind(path: str) -> str:
    """Return what stands at a path and whose it is, as "a folder of uid 1001, ann"."""
    status = os.lstat(path)
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file", stat.S_IFLNK: "a link"}
    return f"{kinds.get(stat.S_IFMT(status.st_mode), 'something else')} of {user(status.st_uid)}"


def _move_away(path: str) -> str:
    return shlex.join(["mv", path, f"{path}.old"])
