"""Follows a log as it grows: a view of a run at work, by which nothing is decided."""

import contextlib
from pathlib import Path

from ardaemon.core import file_kinds
from ardaemon.host.follow import read_at
from ardaemon.metrics.base import Query
from ardaemon.metrics.log import GrowingLog
from ardaemon.metrics.not_finite import NotFinite

# Bytes of a log that are read at one look: a script prints less between two, and a hole has no end.
FEED_MAX = 64 << 20


class LogFollower:
    """Follow a log from the byte `begin` on: `latest` is what stands there last of the primary metric."""

    def __init__(
        self, path: Path, query: Query, begin: int = 0, kind: file_kinds.Kind = file_kinds.LOG
    ) -> None:
        self.latest: float | None = None
        self.step: int | None = None
        self._path, self._at, self._kind = path, begin, kind
        self._query, self._reader = query, GrowingLog(query)

    @property
    def not_finite(self) -> NotFinite:
        """How many values in a row were nan or infinite, the newest among them."""
        return self._reader.not_finite

    def feed(self) -> None:
        """Read on, from FEED_MAX bytes before the end at the earliest; anew where the log was cut."""
        size = self._at
        with contextlib.suppress(OSError):
            size = self._path.stat(follow_symlinks=self._kind.links).st_size
        if size < self._at:
            self._at, self._reader = 0, GrowingLog(self._query)
        if size - self._at > FEED_MAX:
            self._at = size - FEED_MAX
            self._reader.skip()
        while self._at < size and (piece := read_at(self._path, self._at, self._kind)).data:
            if piece.begin > self._at:
                self._reader.skip()
            self._at = piece.end
            self._reader.feed(piece.data)
        self.latest, self.step = self._reader.latest, self._reader.step
