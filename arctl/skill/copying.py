"""Puts a folder in another one's place: whole or not at all, whenever it is killed.

The new folder is filled beside the old one, in a folder of ours that no agent takes for a skill; then the two
change their names in one step. What a killed installation left is mended by the next one.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from arctl.skill.folder import Tree
from ardaemon.core.errors import Refused
from ardaemon.host import durable, operations

_NEW, _OLD = "new", "old"


def work_of(folder: str) -> str:
    """Return the folder in which the new one is filled; an agent looks for skills one level higher."""
    above, name = os.path.split(folder)
    return os.path.join(above, f".{name}.installing")


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Make the folder above `folder`, and keep other installations off it. Raises Refused."""
    above = os.path.dirname(folder)
    make_folders(above)
    fd = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Refused(f"another installation is under way in {above}", "call again when it is done") from None
    finally:
        os.close(fd)


def make_folders(folder: str) -> None:
    """Make a folder and those above it that are missing, durably."""
    if not os.path.isdir(folder):
        make_folders(os.path.dirname(folder))
        durable.make_folder(folder)


def mend(folder: str) -> None:
    """Put back what a killed installation had moved away, and remove what it had begun."""
    work = work_of(folder)
    if not os.path.lexists(folder) and os.path.isdir(os.path.join(work, _OLD)):
        durable.rename(os.path.join(work, _OLD), folder)
    durable.remove_tree(work)


def put(folder: str, tree: Tree, keep_old: bool = False) -> str | None:
    """Put a folder with these files in the place of `folder`; with `keep_old` return where the old one is."""
    work = work_of(folder)
    try:
        durable.make_folder(work)
        _fill(os.path.join(work, _NEW), tree)
        old = _exchanged(os.path.join(work, _NEW), folder)
        saved = _saved(folder, old) if keep_old and old is not None else None
    except OSError:  # as of a full disk
        mend(folder)
        raise
    durable.remove_tree(work)
    return saved


def _fill(folder: str, tree: Tree) -> None:
    for name, data in tree.items():
        path = os.path.join(folder, name)
        make_folders(os.path.dirname(path))
        durable.write(path, data)


def _exchanged(new: str, folder: str) -> str | None:
    """Put `new` in the place of `folder`; return where the old folder lies then, None if there was none."""
    if not os.path.lexists(folder):
        durable.rename(new, folder)
        return None
    try:
        operations.exchange(new, folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        old = os.path.join(os.path.dirname(new), _OLD)  # a filesystem that cannot exchange two names
        durable.rename(folder, old)
        durable.rename(new, folder)
        return old
    durable.sync_folder(os.path.dirname(folder))
    return new


def _saved(folder: str, old: str) -> str:
    above, name = os.path.split(folder)
    saved = os.path.join(above, f".{name}.saved-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}", name)
    make_folders(os.path.dirname(saved))
    durable.rename(old, saved)
    return saved


def take_away(folder: str) -> None:
    """Remove a folder of which nothing is to stay: gone for the agent in one step."""
    work = work_of(folder)
    durable.make_folder(work)
    durable.rename(folder, os.path.join(work, "gone"))
    durable.remove_tree(work)
