"""Look through folders in which somebody else may write: never without end, never in a circle.

A job may leave a million files, or links that lead in a circle, and a project may be cloned with them. So
each look has a limit of names and of time, says so where it reaches one, and ends when nobody waits for it.
Whatever walks through folders that are not the daemon's alone does it here (tests/core/test_folders.py).
"""

import errno
import os
import time
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from ardaemon.core import interrupting
from ardaemon.core.patterns import Pattern

NAMES_MAX = 1_000_000  # files and folders of one look: about 1 s, and more than any run needs
SECONDS_MAX = 120.0  # of one look; a slow network disk tells of some 200,000 files in this time
SMALLER = "name a smaller folder"  # what to do about either
OFTEN = 1000  # names between two looks at the clock: less than 1 ms
# Errors of a folder that is gone, that is none, or that this user may not read: there is nothing in it.
_NOTHING = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EACCES,
    errno.EPERM,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC


class Unsearched(OSError):
    """Raised where there is too much to look through; its text says what was looked for, and what to do."""

    strerror: str

    def __init__(self, place: str, why: str) -> None:
        super().__init__(errno.EFBIG, why, place)

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class Look:
    """The names that one look has seen, and its limits. `place` is what is looked for, or where."""

    def __init__(self, place: str | os.PathLike[str], seconds: float = SECONDS_MAX) -> None:
        self.place, self.seconds = os.fspath(place), seconds
        self.names_max, self.names, self.unchecked = NAMES_MAX, 0, 0
        self.check = interrupting.check()
        self.end = time.monotonic() + seconds

    def count(self, names: int = 1) -> None:
        """Count some more names. Raises Unsearched beyond a limit."""
        self.names += names
        if self.names > self.names_max:
            why = f"more than {self.names_max:,} files and folders are there: {SMALLER}"
            raise Unsearched(self.place, why)
        self.work_on(names)

    def work_on(self, names: int = 1) -> None:
        """Say that some names will be looked at. Raises Unsearched if the look has taken too long."""
        self.unchecked += names
        if self.unchecked >= OFTEN:
            self.unchecked = 0
            self.check()
            if time.monotonic() > self.end:
                why = f"looking there took more than {self.seconds:g} s: {SMALLER}"
                raise Unsearched(self.place, why)


class Entry(Struct, frozen=True, order=True, gc=False):
    """A name in a folder. `is_folder`: it is one, or a link that leads to one.

    The garbage collector does not look at entries: a look at a million would stop the daemon for 0.2 s.
    """

    name: str
    folder: str
    is_folder: bool
    is_link: bool

    @property
    def path(self) -> str:
        """Return the path of the name."""
        return os.path.join(self.folder, self.name)


def listing(folder: str, look: Look, *, follow: bool = False) -> Iterator[Entry]:
    """Yield what lies in one folder; `follow`: also if its path ends in a link. Raises as open(2) does."""
    fd = os.open(folder, _FOLDER if follow else _FOLDER | os.O_NOFOLLOW)
    try:
        with os.scandir(fd) as found:
            while some := list(islice(found, OFTEN)):
                look.count(len(some))
                yield from (_entry(folder, one) for one in some)
    finally:
        os.close(fd)


def _entry(folder: str, one: "os.DirEntry[str]") -> Entry:
    if not one.is_symlink():
        return Entry(one.name, folder, one.is_dir(follow_symlinks=False), False)
    try:
        return Entry(one.name, folder, one.is_dir(), True)
    except OSError:  # it leads in a circle
        return Entry(one.name, folder, False, True)


def walk(top: str | os.PathLike[str], look: Look) -> Iterator[tuple[str, list[Entry]]]:
    """Yield each folder from `top` down, with what lies in it. No link is followed, but `top` may be one."""
    todo = [os.fspath(top)]
    follow = True
    while todo:
        folder = todo.pop()
        entries = list(_listed(folder, look, follow))
        yield folder, entries
        todo += [one.path for one in reversed(entries) if one.is_folder and not one.is_link]
        follow = False


def matches(text: str, root: str | os.PathLike[str], look: Look) -> Iterator[Entry]:
    """Yield what matches a pattern; a relative one begins at `root`. Other folders are not read."""
    pattern = Pattern(text)
    todo = [("/" if pattern.absolute else os.fspath(root), pattern.start)]
    while todo:
        folder, places = todo.pop()
        names = pattern.names(places)
        entries = _listed(folder, look, True) if names is None else _named(folder, names, look)
        for one in entries:
            after = pattern.advance(places, one.name)
            if after and pattern.is_matched(after, one.is_folder):
                yield one
            if after and one.is_folder:
                after = pattern.advance(places, one.name, by_link=one.is_link)
                if pattern.goes_on(after):
                    todo.append((one.path, after))


def _listed(folder: str, look: Look, follow: bool) -> Iterator[Entry]:
    try:
        yield from listing(folder, look, follow=follow)
    except OSError as error:
        if error.errno not in _NOTHING:
            raise


def _named(folder: str, names: list[str], look: Look) -> Iterator[Entry]:
    """Yield those of the names that are in the folder, without reading all of it."""
    for name in names:
        look.count()
        path = os.path.join(folder, name)
        if os.path.lexists(path):
            yield Entry(name, folder, os.path.isdir(path), os.path.islink(path))
