"""Bookmarks: how far the files of an attempt that is over have been read, for the next daemon to go on there.

Reading gigabytes of rows takes minutes, and a daemon may be stopped or killed meanwhile. A bookmark is one
file in the attempt's folder: a line that says of which version, of which question and of which files it is,
and a line with what the reader knew at that place. It is believed only where all of that is the same, to the
last byte; otherwise the files are read from their beginning. Nothing is lost with it, so it is not synced.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from ardaemon.core import file_kinds, files
from ardaemon.core.layout import Attempt
from ardaemon.core.version import VERSION
from ardaemon.host import durable
from ardaemon.metrics.base import AttemptOutput, Query
from ardaemon.metrics.own import Mine, mark_of

FORMAT = 1  # of the states; a daemon of another version may read the same lines otherwise, too

S = TypeVar("S")


class Heading(Struct, frozen=True):
    """The first line: what the state in the second line is of, and that line's hash."""

    about: dict[str, Any]
    digest: str


class Bookmark:
    """The bookmark of one backend in one attempt; without a folder none is read and none is written."""

    def __init__(self, attempt: AttemptOutput, query: Query, backend: str, mine: Sequence[Mine]) -> None:
        """Take the files in the order in which they are read, and note what they are now."""
        self._place = attempt.bookmarks
        self._read, self._due = 0, 0.0
        if self._place is not None:
            self._path = Attempt(self._place.folder).bookmark(backend)
            about = {
                "format": FORMAT,
                "version": VERSION,
                "query": _plain(query),
                "files": [_identity(one) for one in mine],
            }
            self._about = json.loads(json.dumps(about))

    def found(self, kind: type[S]) -> S | None:
        """Return the state that was kept of these very files; None if there is none."""
        if self._place is None:
            return None
        try:
            first, _, second = files.read(self._path, file_kinds.BOOKMARK).partition(b"\n")
            heading = msgspec.convert(json.loads(first), Heading)
            if heading.about != self._about or heading.digest != _digest(second):
                return None
            return msgspec.convert(json.loads(second), kind, str_keys=True)
        except (OSError, ValueError, RecursionError, msgspec.ValidationError):
            return None

    def reached(self, size: int, state: Callable[[], Any]) -> None:
        """Note that `size` more bytes are read, and keep the state if it is time to."""
        self._read += size
        if self._place is None or self._read < self._place.worth_it or time.monotonic() < self._due:
            return
        self._keep(state())
        self._due = time.monotonic() + self._place.pause_s

    def _keep(self, state: Any) -> None:
        second = json.dumps(_plain(state)).encode()
        first = json.dumps(_plain(Heading(self._about, _digest(second)))).encode()
        if len(first) + len(second) < file_kinds.BOOKMARK.most:
            try:
                durable.publish(self._path, first + b"\n" + second)
            except OSError:
                return  # a full disk: then the files are read anew


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _identity(mine: Mine) -> list[Any]:
    """Return what tells a file, as it is now, from every other one: ctime cannot be set back."""
    real = os.path.realpath(mine.path)
    mark = mark_of(real)
    try:
        changed = os.stat(real).st_ctime_ns
    except OSError:  # gone since it was listed
        changed = 0
    return [str(mine.path), real, mine.offset, list(mark) if mark is not None else None, changed]
