"""Metrics that a run printed, read from the end of its log in bounded memory.

A line ends at \\n, at \\r (progress bars), and at NUL (holes of a sparse or truncated file). The log's end is
read in full and gives all metrics; if the primary metric is not in it, the rest is searched backwards,
block by block, for that one alone. What is read is the same wherever a block begins. With a regex, the
primary metric comes from the regex alone, line by line; the other metrics are read as they are printed.
"""

import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from msgspec import Struct
from msgspec.structs import asdict

from ardaemon.core.config import CUSTOM_DEADLINE_S
from ardaemon.core.text import one_line
from ardaemon.metrics import apart
from ardaemon.metrics.base import Evidence, Query, Readings
from ardaemon.metrics.lines import LINE_MAX, Report, compile_regex, decode, regex_reports, reports
from ardaemon.metrics.series import Series

_LINE = re.compile(rb"[^\n\r\0]+")
_LINE_END = re.compile(rb"[\n\r\0]")
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*+[ -/]*+[@-~]?|[ -/]*+[0-~]?)")
_NAME_BYTE = rb"[0-9A-Za-z_/.@%+-]"


class Limits(Struct, frozen=True):
    """How much is held at once, in bytes; `block` is larger than `line`."""

    tail: int = 4 << 20  # some hours of a chatty script; read in well under a second
    block: int = (
        1 << 20
    )  # of the search backwards: large enough for bytes.find, small beside the memory limit
    line: int = LINE_MAX


class _Reader:
    """What lines report under one query: the seam between bytes and numbers."""

    def __init__(self, query: Query) -> None:
        self.primary = query.primary.metric
        self.pattern = compile_regex(query.regex) if query.regex else None
        # As it is printed, and as JSON escapes it.
        self._spellings = sorted({self.primary.encode(), json.dumps(self.primary)[1:-1].encode()})
        # `loss` is not in `val_loss`: without this a log full of the longer name would be parsed whole.
        words = (
            rb"%s(?<!%s%s)(?![0-9A-Za-z_])" % (s, _NAME_BYTE, s) for s in map(re.escape, self._spellings)
        )
        self._printed = re.compile(b"|".join(words))

    def reports(self, line: bytes) -> Iterator[Report]:
        """Every report of one line."""
        text = decode(line)
        if self.pattern is None:
            yield from reports(text)
            return
        yield from (report for report in reports(text) if report[0] != self.primary)
        yield from regex_reports(self.pattern, text, self.primary)

    def primaries(self, line: bytes) -> Iterator[Report]:
        """The reports of the primary metric alone."""
        text = decode(line)
        found = regex_reports(self.pattern, text, self.primary) if self.pattern else reports(text)
        return (report for report in found if report[0] == self.primary)

    def possible(self, data: bytes) -> bool:
        """Can `data` report the primary metric? Cheap; when it says no, there is none."""
        if self.pattern is not None:
            return True
        if b"\x1b" in data:  # a colour may stand inside a name: rich paints paths so
            data = _ESCAPE.sub(b"", data)
        return any(spelling in data for spelling in self._spellings) and bool(self._printed.search(data))


class LogBackend:
    """`name: value` lines of run.log."""

    name = "log"

    def __init__(self, limits: Limits | None = None, deadline: float = CUSTOM_DEADLINE_S) -> None:
        self.limits, self.deadline = limits or Limits(), deadline

    def read(self, evidence: Evidence, query: Query) -> Readings:
        """The log's metrics. Raises UsageError only for a regex that does not compile."""
        if not query.regex:
            return self.read_here(evidence, query)
        compile_regex(query.regex)
        return apart.read(evidence, query, asdict(self.limits), self.deadline)

    def read_here(self, evidence: Evidence, query: Query) -> Readings:
        """As read, in this process: a regex may take for ever."""
        reader, series = _Reader(query), Series(query)
        try:
            with evidence.log.open("rb") as file:
                whole = self._read(file, reader, series)
                size = file.seek(0, 2)
        except OSError as error:
            return Readings(self.name, {}, problem=f"{evidence.log.name} cannot be read: {error.strerror}")
        return series.readings(self.name, whole=whole, absent=_absent(query, size))

    def _read(self, file: BinaryIO, reader: _Reader, series: Series) -> bool:
        """Fill the series; True if every line was read."""
        size = file.seek(0, 2)
        start = max(size - self.limits.tail, 0)
        begin, data = _from_line_start(file, start, size)
        if series.query.count != "last":
            self._read_forwards(file, begin, reader, series)
            start = 0
        for line in _lines(data, self.limits.line):
            for report in reader.reports(line):
                series.add(*report)
        del data
        if series.primary is None and start > 0 and begin > 0:
            self._search_backwards(file, begin, reader, series)
        return start == 0

    def _read_forwards(self, file: BinaryIO, end: int, reader: _Reader, series: Series) -> None:
        """All of the primary metric before `end`: the value that counts may be anywhere."""
        begin, too_long = 0, False
        while begin < end:
            data = _read_at(file, begin, min(begin + self.limits.block, end))
            cut = _after_last_end(data)
            found = _LINE_END.search(data) if too_long else None
            self._take(data[found.end() if found else 0 : cut], reader, series)
            too_long = cut == 0  # a line that fills a block; its end is passed over too
            begin += cut or len(data)

    def _take(self, data: bytes, reader: _Reader, series: Series) -> None:
        """The primary metric's reports in whole lines."""
        if not reader.possible(data):
            return
        for line in _lines(data, self.limits.line):
            if reader.possible(line):
                for report in reader.primaries(line):
                    series.add(*report)

    def _search_backwards(self, file: BinaryIO, end: int, reader: _Reader, series: Series) -> None:
        """Look for the last report of the primary metric before `end`."""
        for block in _blocks_backwards(file, end, self.limits):
            self._take(block, reader, series)
            if series.primary is not None:
                return


class Follower:
    """The primary metric of a log that grows: feed what was added, read `latest` and `step`.

    Only finished lines count, so that a number which is half written is never taken for a whole one.
    """

    def __init__(self, query: Query, line_max: int = LINE_MAX) -> None:
        self.latest: float | None = None  # None as well while the last value is nan or infinite
        self.step: int | None = None
        self._reader = _Reader(query)
        self._query = query
        self._line_max = line_max
        self._rest = b""
        self._passing = False  # inside a line that is too long

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the log."""
        cut = _after_last_end(data)
        if cut:
            self._take(self._rest + data[:cut])
            self._rest, self._passing = b"", False
        if not self._passing:
            self._rest += data[cut:]
            self._passing = len(self._rest) > self._line_max
            if self._passing:
                self._rest = b""

    def _take(self, data: bytes) -> None:
        if self._passing:
            end = _LINE_END.search(data)
            data = data[end.end() :] if end else b""
        if not self._reader.possible(data):
            return
        series = Series(self._query)
        for line in _lines(data, self._line_max):
            if self._reader.possible(line):
                for report in self._reader.primaries(line):
                    series.add(*report)
        if series.primary is not None:
            self.latest, self.step = series.latest, series.step


def _absent(query: Query, size: int) -> str:
    if size == 0:
        return "the log is empty"
    if query.regex:
        return f"--metric-regex {one_line(query.regex, 80)!r} found no {query.primary.metric} in the log"
    return f"{query.primary.metric} was never printed"


def _lines(data: bytes, most: int) -> Iterator[bytes]:
    """The lines of `data` that are not empty and not longer than `most`."""
    return (match[0] for match in _LINE.finditer(data) if match.end() - match.start() <= most)


def _after_last_end(data: bytes) -> int:
    """The position after the last line end; 0 if there is none."""
    return max(data.rfind(b"\n"), data.rfind(b"\r"), data.rfind(b"\0")) + 1


def _read_at(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _from_line_start(file: BinaryIO, start: int, end: int) -> tuple[int, bytes]:
    """What stands from `start` to `end`, less the line that `start` cuts; and where it begins.

    Where no line begins in it, it begins at `end`.
    """
    data = _read_at(file, start, end)
    if start == 0:
        return 0, data
    found = _LINE_END.search(data)
    cut = found.end() if found else len(data)
    return start + cut, data[cut:]


def _blocks_backwards(file: BinaryIO, end: int, limits: Limits) -> Iterator[bytes]:
    """Whole lines before `end`, the last block first; `end` is where a line begins, or the file's end.

    A line that fills a block is too long to be read; its beginning, in the block before, is passed over too.
    """
    too_long = False
    while end > 0:
        begin, data = _from_line_start(file, max(end - limits.block, 0), end)
        if too_long:
            data = data[: _after_last_end(data)]
        if begin < end:
            too_long = False
            yield data
        else:
            begin, too_long = max(end - limits.block, 0), True
        end = begin
