"""Lists what a checkpoint holds before it is copied, and refuses what belongs to other users.

Other users may write where checkpoints lie, as on a shared scratch disk. What they put there must not become
a file of this user's, and must not be loaded as one.
"""

import errno
import math
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from ardaemon.core.folders import Look, listing
from ardaemon.core.owner import is_ours, user
from ardaemon.core.trust import is_trusted
from ardaemon.host import durable


class Original(Struct, frozen=True, order=True, gc=False):
    """A plain file that is to be copied, the place of its copy, and which file it was in which state."""

    path: str
    copy: str
    device: int
    inode: int
    size: int  # bytes
    written_ns: int

    def require(self, status: os.stat_result) -> None:
        """Raise OSError (EIO) unless `status` is that of the same file in the same state."""
        if Original(self.path, self.copy, *_facts(status)) != self:
            raise OSError(errno.EIO, "it was changed while it was copied")


@dataclass
class Plan:
    """The folders, links and files of a source, each with the place of its copy."""

    folders: list[tuple[str, int]] = field(default_factory=list)  # (place, mode)
    links: list[tuple[str, str]] = field(default_factory=list)  # (text, place)
    files: list[Original] = field(default_factory=list)
    total: int = 0  # bytes


def survey(source: Path, target: Path, trusted: Sequence[str] = ()) -> Plan:
    """List all that is in a file or folder, without sockets, pipes and devices. Links are not followed.

    Raises OSError: EPERM for a file, folder or link of another user's, unless `source` is in or below one of
    the folders `trusted`; Unsearched if there is too much.
    """
    plan, look = Plan(), Look(source, seconds=math.inf)
    top = os.path.realpath(source, strict=True)
    everybodys = is_trusted(top, lambda: trusted)
    if not everybodys:
        _require_ours(os.lstat(source).st_uid, "it")  # it may be a link
    todo = [(top, str(target))]
    while todo:
        one, other = todo.pop()
        status = os.lstat(one)
        if not everybodys:
            _require_ours(status.st_uid, os.path.relpath(one, top) if one != top else "it")
        if stat.S_ISDIR(status.st_mode):
            # A copy of a read-only folder has to be filled.
            plan.folders.append((other, status.st_mode & durable.COPIED_MODE | 0o700))
            todo += [(entry.path, os.path.join(other, entry.name)) for entry in listing(one, look)]
        elif stat.S_ISLNK(status.st_mode):
            plan.links.append((os.readlink(one), other))  # followed, it could lead in a circle
        elif stat.S_ISREG(status.st_mode):
            plan.files.append(Original(one, other, *_facts(status)))
            plan.total += status.st_size
    return plan


def _facts(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _require_ours(uid: int, name: str) -> None:
    if not is_ours(uid):
        raise OSError(errno.EPERM, f"{name} belongs to another user ({user(uid)}), who is not `trusted`")
