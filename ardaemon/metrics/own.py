"""Decides which files one attempt wrote, by marks that are taken at its launch, and by the run's own folder.

A file that was there at the launch and is unchanged is not the attempt's, whatever the clocks say. A new file
in the run's own folder is the attempt's; so is a new file elsewhere, if the launch has looked there. A file's
time decides only where the launch could not look: a link leads somewhere else now, or nobody had named the
path then.
"""

import fnmatch
import glob
import hashlib
import itertools
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from ardaemon.core import file_kinds, files, folders
from ardaemon.core.folders import Look, Unsearched
from ardaemon.core.layout import JOB
from ardaemon.core.patterns import DEEP

RUN_DIR = "{run_dir}"
# Bytes before a file's end whose hash is kept at the launch. They tell a file that was added to from a file
# that was written anew and is longer now.
TAIL = 4 << 10
# A file may be this much older than the attempt: filesystems keep coarse times (FAT: 2 s).
CLOCK_SLACK_S = 2.0
COUNT_MAX = 1000  # files that are counted, only to say that they are not the run's
_ATTEMPT = re.compile(r"a[0-9]+")  # the daemon's own folder of each attempt: run.log, samples.jsonl


class Mark(NamedTuple):
    """The state of a file, by which a change shows: `tail` is the hash of its end."""

    inode: int
    size: int
    written_ns: int
    tail: str

    def text(self) -> str:
        """Return the mark as before.json has it."""
        return " ".join(map(str, self))


def read_mark(text: str) -> Mark | None:
    """Read a mark as before.json has it; None for what no daemon wrote."""
    try:
        inode, size, written_ns, tail = text.split()
        return Mark(int(inode), int(size), int(written_ns), tail)
    except ValueError:
        return None


class Mine(Struct, frozen=True):
    """A file of the attempt. Bytes before `offset` were there at the launch already."""

    path: Path
    offset: int = 0


class LaunchMarks(Struct, frozen=True, kw_only=True):
    """The facts by which an attempt's files are told from others.

    `before` has the mark of every file that was there at the launch, by its real path; `noted` has the
    patterns by which the launch looked for them, and `unseen` those that it could not look through, each with
    the reason. `started_at` is in seconds since 1970.
    """

    project: Path
    run_folder: Path
    started_at: float
    before: Mapping[str, str]  # real path -> its mark, as before.json has it
    noted: Collection[str]
    unseen: Mapping[str, str]


def noted(path: str | None, attempt: str) -> tuple[str, ...]:
    """Return the patterns to look at when an attempt ("a1") is launched.

    They are --metric-path, and from the second attempt on the run's folder, where the first one left its
    files.
    """
    return (*([path] if path is not None else []), *([RUN_DIR] if attempt != "a1" else []))


def marks(patterns: Collection[str], project: Path, run_folder: Path) -> dict[str, str]:
    """Return the marks of all files that the patterns match now, at the launch, as real path -> mark.

    Raises Unsearched.
    """
    by_path = {}
    for pattern in patterns:
        look = Look(pattern)
        for path in _files(pattern, project, run_folder, "*", look):
            look.work_on()
            mark = mark_of(real := os.path.realpath(path))
            if mark is not None:
                by_path[_key(real)] = mark.text()
    return by_path


def mine(pattern: str, names: str, launch: LaunchMarks) -> list[Mine]:
    """Return the attempt's files that `pattern` matches, sorted by name, each once, by however many links.

    Where the pattern matches a folder, the files in it and below it whose own name matches `names` are taken.
    Of several files that it matches itself, those with such a name are taken, unless there is none.

    Raises Unsearched, also for what the launch could not look through: nobody knows what was there.
    """
    for unseen in launch.unseen:
        if unseen == pattern or (unseen == RUN_DIR and pattern.startswith(RUN_DIR)):
            raise Unsearched(pattern, f"at the launch, {launch.unseen[unseen]}")
    by_path: dict[str, Mine] = {}
    look = Look(pattern)
    for path in _named(sorted(_files(pattern, launch.project, launch.run_folder, names, look)), names):
        look.work_on()
        real = os.path.realpath(path)
        if real in by_path:
            continue
        offset = _offset(path, real, pattern, launch)
        if offset is not None:
            by_path[real] = Mine(Path(path), offset)
    return list(by_path.values())


def written(mine: Mine) -> tuple[int, str]:
    """Return a key that sorts files by the time of their writing, and those of the same moment by name."""
    try:
        return os.stat(mine.path).st_mtime_ns, str(mine.path)
    except OSError:  # gone since it was listed: opening it will say so
        return 0, str(mine.path)


def anybodys(pattern: str, project: Path) -> list[Mine]:
    """Return all that a pattern matches, sorted by name. Raises Unsearched."""
    found = folders.matches(pattern, os.path.realpath(project), Look(pattern))
    return [Mine(Path(path)) for path in sorted(one.path for one in found)]


def _named(paths: list[str], names: str) -> list[str]:
    return [path for path in paths if fnmatch.fnmatch(os.path.basename(path), names)] or paths


def absent(pattern: str, names: str, launch: LaunchMarks) -> str:
    """Say in one line why mine() finds nothing."""
    found = _files(pattern, launch.project, launch.run_folder, names, Look(pattern))
    others = list(itertools.islice(found, COUNT_MAX))
    if not others:
        return f"no {'' if names == '*' else f'{names} '}file matches {pattern}"
    unread = next(filter(None, map(_unread, others)), "")
    return f"{len(others)} files match {pattern}, none of them written by this run{unread}"


def _unread(path: str) -> str:
    """Say why a file is not read though it is there: it is another user's, too large, or no plain file."""
    try:
        files.opened(path, file_kinds.METRICS).close()
    except (files.ForeignFile, files.NotPlain) as error:
        return f" ({os.path.basename(path)}: {error.strerror})"
    except OSError:
        pass
    return ""


def _offset(path: str, real: str, pattern: str, launch: LaunchMarks) -> int | None:
    """Return the position at which the attempt's part of a file begins; None if no part is the attempt's."""
    mark = mark_of(real)
    if mark is None:
        return None
    text = launch.before.get(_key(real))
    if text is not None:
        before = read_mark(text)
        if before is None:
            return None
        return None if before == mark else _added_at(real, before, mark)
    if _inside(real, os.path.realpath(launch.run_folder)):
        return 0
    if pattern in launch.noted and path == real:
        return 0
    # The last resort: the launch could not look there, so the file's time has to decide.
    return 0 if mark.written_ns / 1e9 >= launch.started_at - CLOCK_SLACK_S else None


def _added_at(real: str, before: Mark, mark: Mark) -> int:
    """Return the size at the launch if the file was added to since; 0 if it was replaced or written anew.

    A file that was written anew with the same bytes, and more after them, is taken for one that was added to:
    the last value is the same.
    """
    grown = mark.inode == before.inode and mark.size > before.size
    return before.size if grown and _tail(real, before.size) == before.tail else 0


def _files(pattern: str, project: Path, run_folder: Path, names: str, look: Look) -> Iterator[str]:
    """Yield the absolute paths of files that match, and of files in folders that match.

    Symlinks in such a folder are not followed. Raises Unsearched.
    """
    own = os.path.realpath(run_folder)
    pattern = pattern.replace(RUN_DIR, glob.escape(own))
    walked: set[str] = set()  # a folder in one that matches may match as well
    for one in folders.matches(pattern, os.path.realpath(project), look):
        path = os.path.normpath(one.path)
        if _attempts(path, own):
            continue
        if not one.is_folder:
            yield path
        elif not pattern.endswith(DEEP):  # such a pattern names the files below by itself
            yield from (file for file in _below(path, names, look, walked) if not _attempts(file, own))


def _below(top: str, names: str, look: Look, walked: set[str]) -> Iterator[str]:
    if top in walked:
        return
    for folder, entries in folders.walk(top, look):
        walked.add(folder)
        for name in fnmatch.filter([one.name for one in entries if not one.is_folder], names):
            yield os.path.join(folder, name)


def _attempts(path: str, run_folder: str) -> bool:
    """Return whether `path` lies in an attempt's folder (a1/), where only the daemon writes.

    There is none in a folder that is the job's own: a job may have a folder of that name there.
    """
    if os.path.basename(run_folder) == JOB:
        return False
    below = path[len(run_folder) + 1 :] if _inside(path, run_folder) else ""
    return _ATTEMPT.fullmatch(below.partition(os.sep)[0]) is not None


def _inside(path: str, folder: str) -> bool:
    return path.startswith(folder + os.sep)


def _key(real: str) -> str:
    """Return a path as JSON can hold it, whatever bytes it has."""
    return os.fsencode(real).decode("utf-8", "backslashreplace")


def mark_of(real: str) -> Mark | None:
    """Return the mark of a file as it is now; None if it is no plain file, or cannot be read."""
    try:
        status = os.stat(real)
        if not stat.S_ISREG(status.st_mode):
            return None
        return Mark(status.st_ino, status.st_size, status.st_mtime_ns, _tail(real, status.st_size))
    except OSError:  # gone since it was listed, or a link to nothing
        return None


def _tail(real: str, size: int) -> str:
    with files.opened(real, file_kinds.METRICS) as file:
        file.seek(max(size - TAIL, 0))
        return hashlib.blake2b(file.read(min(size, TAIL)), digest_size=8).hexdigest()
