"""Follows a log as it grows: a view of a run at work, by which nothing is decided."""

import contextlib
import math
from pathlib import Path

from ardaemon.core import file_kinds
from ardaemon.host.follow import read_at
from ardaemon.metrics.base import Query
from ardaemon.metrics.formats.digits import same
from ardaemon.metrics.formats.lines import LINE_MAX, Report, step
from ardaemon.metrics.formats.log_reader import LINE_END, LineReader, ReadLimits, after_last_end, lines
from ardaemon.metrics.not_finite import NotFinite

CONTEXT = ReadLimits().context
# Bytes of a log that are read at one look: a script prints less between two, and a hole has no end.
FEED_MAX = 64 << 20


class GrowingLog:
    """Follows the primary metric in a log: feed() takes new bytes, `latest` and `step` are its last report.

    Only finished lines count, so that half of a number is never taken for the whole.
    """

    def __init__(self, query: Query, line_max: int = LINE_MAX) -> None:
        self.latest: float | None = None  # None as well while the last value is nan or infinite
        self.step: int | None = None
        self.not_finite = NotFinite()
        self._printed = 0  # lines, as a terminal shows them: a progress bar is painted in one
        self._reader = LineReader(query.primary.metric, query.regex, line_max)
        self._query = query
        self._line_max = line_max
        self._rest = b""
        self._passing = False  # inside a line that is too long

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the log."""
        cut = after_last_end(data)
        if cut:
            self._take(self._rest + data[:cut])
            self._rest, self._passing = b"", False
        if not self._passing:
            self._rest += data[cut:]
            self._passing = len(self._rest) > self._line_max
            if self._passing:
                self._rest = b""

    def skip(self) -> None:
        """Expect the next bytes from a later place in the log: the line that they begin in is passed over."""
        self._reader.forget()
        self.not_finite.take(None)  # what stands between may be finite
        self._rest, self._passing = b"", True

    def _take(self, data: bytes) -> None:
        if self._passing:
            end = LINE_END.search(data)
            data = data[end.end() :] if end else b""
        if not self._reader.possible(data):
            self._printed += data.count(b"\n")
            for line in lines(data[-CONTEXT:]):
                self._reader.skip(line)
            return
        for count, printed in enumerate(data.split(b"\n")):
            self._printed += count > 0
            for line in lines(printed):
                if len(line) > self._line_max:
                    self._reader.skip(line)
                    continue
                for report in self._reader.primaries(line):
                    self._note(report)

    def _note(self, report: Report) -> None:
        if report.last is not None and self.latest is not None and same(report.last, repr(self.latest)):
            return
        finite = report.value is not None and math.isfinite(report.value)
        self.latest, self.step = (report.value if finite else None), step(report.place)
        self.not_finite.take(report.value, self._printed, self.step)


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
