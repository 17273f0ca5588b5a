"""Where a path lies: in which project, and whether it may be written."""

import os
from fnmatch import fnmatchcase

from guards import table
from guards.event import Unclear, shown

PATH_MAX = 4096  # a longer path is opened by no system call
_ROOTS = (table.HOME, ".git")  # as arctl finds a project: the nearest folder that has one of these


class Place:
    """The project whose paths are judged. `starts` are folders in it: the agent's, and the session's."""

    def __init__(self, starts: list[str]) -> None:
        found = [root for start in starts if (root := _root(start)) is not None]
        self.roots = [
            root for root in dict.fromkeys(found) if os.path.lexists(os.path.join(root, table.HOME))
        ]
        self.above = not found  # the session was started above its projects: each path's own is the project

    def refusal(self, path: str, removing: bool = False) -> str | None:
        """Return why an absolute path may not be written (or removed); None if it may, or is elsewhere."""
        if not _can_be(path):
            raise Unclear("no file can have this path")
        for one in dict.fromkeys((os.path.normpath(path), os.path.realpath(path))):
            for root in self._roots(one):
                why = _refusal(root, one, removing)
                if why is not None:
                    return f"{shown(one)}: {why}"
        return None

    def inside(self, folder: str) -> bool:
        """Return whether a folder lies in a project that is judged."""
        real = os.path.realpath(folder)
        return any(_within(real, os.path.realpath(root)) is not None for root in self._roots(real))

    def _roots(self, path: str) -> list[str]:
        if not self.above:
            return self.roots
        root = _root(path)
        return [root] if root is not None and os.path.lexists(os.path.join(root, table.HOME)) else []


def _can_be(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path) and len(path) <= PATH_MAX
    except UnicodeEncodeError:
        return False


def _root(start: str) -> str | None:
    """Return the nearest folder, from `start` up, that is a project's root."""
    folder = os.path.abspath(start)
    while not any(os.path.lexists(os.path.join(folder, name)) for name in _ROOTS):
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return folder


def _refusal(root: str, path: str, removing: bool) -> str | None:
    """Judge one spelling of a path against one project."""
    relative = _relative(root, path)
    if relative is not None:
        row = table.row_of(relative)
        if row.editable and not os.path.isdir(os.path.dirname(path)):
            return "there is no such experiment: arctl init or arctl chain-init makes one"
        return row.why if removing or not row.editable else None
    if removing and _holds(path, root):
        return "the project lies in it"
    return None


def _relative(root: str, path: str) -> str | None:
    """Return a path as the table has it; None if it lies outside. The experiments may lie on another disk."""
    home = os.path.join(root, table.HOME)
    for real in (home, os.path.realpath(home)):
        within = _within(path, real)
        if within is not None:
            return os.path.normpath(os.path.join(table.HOME, within))
    for real in (root, os.path.realpath(root)):
        within = _within(path, real)
        if within is not None:
            return within
    return None


def _within(path: str, folder: str) -> str | None:
    """Return the rest of a path below a folder, "." for the folder itself; None if it is not below."""
    if path == folder:
        return "."
    above = folder.rstrip("/") + "/"
    return path[len(above) :] if path.startswith(above) else None


def _holds(path: str, root: str) -> bool:
    """Return whether what is removed, by name or by a pattern, is a folder above the project."""
    ours, theirs = os.path.realpath(root).split("/"), path.split("/")
    return len(theirs) <= len(ours) and all(map(fnmatchcase, ours, theirs))
