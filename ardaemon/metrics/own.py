"""Which files one attempt wrote: decided by the marks taken at its launch, and by the run's own folder.

What was there at the launch and is unchanged is not the attempt's, whatever the clocks say. What is new in
the run's own folder is; and what is new elsewhere, where the launch has looked. Only for what the launch
could not see (a link that leads somewhere else now, a path that nobody named then) does the time decide.
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

RUN_DIR = "{run_dir}"
# Bytes before a file's end that are remembered at the launch: they tell a file that was added to from one
# that was written anew and is longer now.
TAIL = 4 << 10
# A file may be this much older than the attempt: filesystems keep coarse times (FAT: 2 s).
CLOCK_SLACK_S = 2.0
COUNT_MAX = 1000  # files that are counted only to say that they are not the run's
_ATTEMPT = re.compile(r"a[0-9]+")  # the daemon's own folder of each attempt: run.log, samples.jsonl


class Mark(NamedTuple):
    """What tells a file from what it was: `tail` is the hash of its end, `written_ns` its time of writing."""

    inode: int
    size: int
    written_ns: int
    tail: str

    def text(self) -> str:
        """Make what stands in before.json."""
        return " ".join(map(str, self))


def read_mark(text: str) -> Mark:
    """Read a mark out of before.json."""
    inode, size, written_ns, tail = text.split()
    return Mark(int(inode), int(size), int(written_ns), tail)


class Mine(Struct, frozen=True):
    """A file of the attempt; before `offset` stands what was there at its launch, if it was added to."""

    path: Path
    offset: int = 0


class Known(Struct, frozen=True, kw_only=True):
    """What is known of an attempt for telling its files: `noted` are the patterns looked at at its launch."""

    project: Path
    run_folder: Path
    started_at: float
    before: Mapping[str, str]  # real path -> its mark, as before.json has it
    noted: Collection[str]


def noted(path: str | None, attempt: str) -> tuple[str, ...]:
    """Where to look at the launch of an attempt ("a1"): at --metric-path, and at what an earlier one left."""
    return (*([path] if path is not None else []), *([RUN_DIR] if attempt != "a1" else []))


def marks(patterns: Collection[str], project: Path, run_folder: Path) -> dict[str, str]:
    """At the launch: every file that the patterns match by now, real path -> mark."""
    found = {}
    for pattern in patterns:
        for path in _files(pattern, project, run_folder, "*"):
            mark = _mark(real := os.path.realpath(path))
            if mark is not None:
                found[_key(real)] = mark.text()
    return found


def mine(pattern: str, names: str, known: Known) -> list[Mine]:
    """The attempt's files that `pattern` matches, sorted by name, each once however many links lead to it.

    Where it matches a folder: the files in and below it whose own name matches `names`; of several files that
    it matches itself, those with such a name, unless there is none.
    """
    found: dict[str, Mine] = {}
    for path in _named(sorted(_files(pattern, known.project, known.run_folder, names)), names):
        real = os.path.realpath(path)
        if real in found:
            continue
        offset = _offset(path, real, pattern, known)
        if offset is not None:
            found[real] = Mine(Path(path), offset)
    return list(found.values())


def _named(paths: list[str], names: str) -> list[str]:
    return [path for path in paths if fnmatch.fnmatch(os.path.basename(path), names)] or paths


def absent(pattern: str, known: Known) -> str:
    """Why `mine` finds nothing, in one line."""
    files = _files(pattern, known.project, known.run_folder, "*")
    others = sum(1 for _ in itertools.islice(files, COUNT_MAX))
    if others == 0:
        return f"no file matches {pattern}"
    return f"{others} files match {pattern}, none of them written by this run"


def _offset(path: str, real: str, pattern: str, known: Known) -> int | None:
    """Where the attempt's part of a file begins; None if nothing of it is the attempt's."""
    mark = _mark(real)
    if mark is None:
        return None
    text = known.before.get(_key(real))
    if text is not None:
        before = read_mark(text)
        return None if before == mark else _added_at(real, before, mark)
    if _inside(real, os.path.realpath(known.run_folder)):
        return 0
    if pattern in known.noted and path == real:
        return 0
    # The last resort.
    return 0 if mark.written_ns / 1e9 >= known.started_at - CLOCK_SLACK_S else None


def _added_at(real: str, before: Mark, mark: Mark) -> int:
    """Return the size at the launch if the file was added to since; 0 if it was replaced or written anew.

    Of the same bytes written anew, and more after them, the latter count: the last value is the same.
    """
    grown = mark.inode == before.inode and mark.size > before.size
    return before.size if grown and _tail(real, before.size) == before.tail else 0


def _files(pattern: str, project: Path, run_folder: Path, names: str) -> Iterator[str]:
    """Absolute paths of what matches, and of the files in folders that match (no link is followed there)."""
    root = os.path.realpath(project)
    pattern = pattern.replace(RUN_DIR, glob.escape(os.path.realpath(run_folder)))
    own = os.path.realpath(run_folder)
    for name in glob.iglob(pattern, root_dir=root, recursive=True):
        path = os.path.normpath(os.path.join(root, name))
        if _attempts(path, own):
            continue
        if not os.path.isdir(path):
            yield path
        elif not pattern.endswith("**"):  # that names the files below by itself
            yield from (file for file in _below(path, names) if not _attempts(file, own))


def _below(folder: str, names: str) -> Iterator[str]:
    for at, _, files in os.walk(folder):
        for name in fnmatch.filter(files, names):
            yield os.path.join(at, name)


def _attempts(path: str, run_folder: str) -> bool:
    """Does it lie in an attempt's folder, where the daemon writes and the script does not?"""
    below = path[len(run_folder) + 1 :] if _inside(path, run_folder) else ""
    return _ATTEMPT.fullmatch(below.partition(os.sep)[0]) is not None


def _inside(path: str, folder: str) -> bool:
    return path.startswith(folder + os.sep)


def _key(real: str) -> str:
    """A path as JSON can hold it, whatever bytes it has."""
    return os.fsencode(real).decode("utf-8", "backslashreplace")


def _mark(real: str) -> Mark | None:
    """Mark a file as it is; None for what is no plain file, or cannot be read."""
    try:
        found = os.stat(real)
        if not stat.S_ISREG(found.st_mode):
            return None
        return Mark(found.st_ino, found.st_size, found.st_mtime_ns, _tail(real, found.st_size))
    except OSError:  # gone since it was listed, or a link to nothing
        return None


def _tail(real: str, size: int) -> str:
    with open(real, "rb") as file:
        file.seek(max(size - TAIL, 0))
        return hashlib.blake2b(file.read(min(size, TAIL)), digest_size=8).hexdigest()
