"""Finds the project of a folder, and refuses one that is another user's.

Whoever owns a project chooses its runner, and with it what runs as the user who calls `arctl`. So the search
goes up only through folders into which nobody else can put a project (as git's does since CVE-2022-24765),
and what it finds must belong to this user, to root, or lie where a person has said to trust others.

The client loads this module at its start: no pathlib, and TOML only where a folder is another user's.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ardaemon.core import places
from ardaemon.core.errors import ForeignOwner
from ardaemon.core.owner import is_ours, user
from ardaemon.core.places import FOLDER

if TYPE_CHECKING:
    from ardaemon.core.trust import Trusted

GIT = ".git"
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # errors of open(2) where there is no such folder


def find_project(start: str) -> str:
    """Return the nearest folder, from `start` up, with .autoresearch/ or .git; without either `start` itself.

    The search ends below a folder that is neither this user's nor root's, one that everybody may write to
    (sticky or not), and one on another file system. `start` itself is always looked at.
    """
    folder = start
    while not _is_root(folder):
        parent = os.path.dirname(folder)
        if parent == folder or not _may_enter(parent, folder):
            return start
        folder = parent
    return folder


def above(folder: str) -> str | None:
    """Return the nearest project with experiments above the project `folder`, by the same rules; or None."""
    while (parent := os.path.dirname(folder)) != folder and _may_enter(parent, folder):
        folder = parent
        if os.path.lexists(os.path.join(folder, FOLDER)):
            return folder
    return None


def _is_root(folder: str) -> bool:
    """Return whether the folder is a project's root. A link to a disk that is away counts."""
    return any(os.path.lexists(os.path.join(folder, name)) for name in (FOLDER, GIT))


def _may_enter(parent: str, folder: str) -> bool:
    """Return whether the search may go on from `folder` to its parent."""
    try:
        status, below = os.stat(parent), os.stat(folder)
    except OSError:
        return False
    if status.st_dev != below.st_dev:
        return False
    alone = is_ours(status.st_uid) and not status.st_mode & stat.S_IWOTH
    return alone or _is_trusted(parent, trusted_folders)


def require_ours(project: str, names: Sequence[str], trusted: "Trusted") -> None:
    """Raise ForeignOwner unless the project, and the folders `names`, each in the one before, are ours.

    They are ours if they belong to this user or root, or if the project is in or below a `trusted` folder. A
    symlink and the folder to which it leads must both be ours. A name that is not there ends the look.
    """
    try:
        for path, uid in _owners(project, names):
            if not is_ours(uid):
                if not _is_trusted(project, trusted):
                    raise _refusal(path, uid, project)
                return
    except OSError as error:
        if error.errno not in ABSENT:
            raise


def _owners(project: str, names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield the owner of what each name opens, and of the folder to which it leads if it is a link."""
    opened: list[int] = []
    path, at = "", None
    try:
        for name in (project, *names):
            path = os.path.join(path, name)
            opened.append(os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=at))
            status = os.fstat(opened[-1])
            yield path, status.st_uid
            if stat.S_ISLNK(status.st_mode):  # followed only once its owner is known
                opened.append(os.open(name, os.O_PATH | os.O_DIRECTORY, dir_fd=at))
                yield path, os.fstat(opened[-1]).st_uid
            at = opened[-1]
    finally:
        for fd in opened:
            os.close(fd)


def _is_trusted(folder: str, trusted: "Trusted") -> bool:
    """Return whether the folder is in or below one of `trusted`, symlinks followed."""
    from ardaemon.core import trust  # slower to load, and hardly ever needed

    return trust.is_trusted(folder, trusted)


def trusted_folders() -> Sequence[str]:
    """Return `trusted` of config.toml as it is now. Raises UsageError naming file and fault."""
    from ardaemon.core import files  # slower to load

    return files.trusted_folders()


def _refusal(path: str, uid: int, project: str) -> ForeignOwner:
    instead = "change to a folder of yours"
    if os.getuid() == 0:
        instead = (
            f"call arctl as that user, not as root (without sudo, or by: sudo -Hu '#{uid}' arctl status)"
        )
    return ForeignOwner(
        f"{path} belongs to another user ({user(uid)}), who could choose what runs as you",
        f"{instead}; {_how_to_trust(project)}",
        {"path": path, "uid": uid},
    )


def foreign_file(path: str, uid: int) -> ForeignOwner:
    """Make the error for a file of another user's, where one of this user's or root's is wanted."""
    project, inside, _ = path.partition(f"/{FOLDER}/")
    return ForeignOwner(
        f"{path} belongs to another user ({user(uid)}), and is not read",
        f"put a file of yours in its place; {_how_to_trust(project if inside else os.path.dirname(path))}",
        {"path": path, "uid": uid},
    )


def _how_to_trust(folder: str) -> str:
    from ardaemon.core import toml

    line = f"trusted = [{toml.string(folder)}]"
    return (
        f"a person who trusts that user puts the line  {line}  into {places.config_file()}, then:"
        " arctl config check"
    )
