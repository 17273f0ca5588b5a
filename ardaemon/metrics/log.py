"""The log backend: metrics that a run printed, read from the end of its log in bounded memory.

The end of the log (ReadLimits.tail) is read in full and gives all metrics. If the primary metric is not in
it, the rest is searched backwards, block by block, for that metric alone. With a regex, the primary metric
comes from the regex alone, line by line; the other metrics are read as they are printed.
"""

import json
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec.structs import asdict

from ardaemon.core import file_kinds, files
from ardaemon.core.config import CUSTOM_DEADLINE_S
from ardaemon.core.text import one_line
from ardaemon.metrics import apart
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.formats.lines import LINE_MAX, compile_regex
from ardaemon.metrics.formats.log_reader import (
    LINE_END,
    LineReader,
    ReadLimits,
    after_last_end,
    blocks_backwards,
    from_line_start,
    is_hole,
    lines,
    read_at,
)
from ardaemon.metrics.series import Series


def check_regex(text: str) -> None:
    """Raise UsageError if a session's --metric-regex cannot be used."""
    compile_regex(text)


class LogBackend:
    """Reads the `name: value` lines of run.log; `deadline` is in seconds, for a search with a regex."""

    name = "log"

    def __init__(self, limits: ReadLimits | None = None, deadline: float = CUSTOM_DEADLINE_S) -> None:
        self.limits, self.deadline = limits or ReadLimits(), deadline

    def read(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Return the log's metrics. Raises UsageError if the regex does not compile."""
        if not query.regex:
            return self.read_here(attempt, query)
        compile_regex(query.regex)
        return apart.read(attempt, query, asdict(self.limits), self.deadline)

    def read_here(self, attempt: AttemptOutput, query: Query) -> Readings:
        """Return the log's metrics, read in this process, where a regex may take for ever."""
        reader, series = LineReader(query.primary.metric, query.regex), Series(query)
        try:
            with files.opened(attempt.log, file_kinds.LOG) as file:
                whole = self._read(file, reader, series)
                size = file.seek(0, 2)
        except OSError as error:
            return Readings(self.name, {}, problem=f"{attempt.log.name} cannot be read: {error.strerror}")
        return series.readings(self.name, whole=whole, absent=_absent(query, size))

    def _read(self, file: BinaryIO, reader: LineReader, series: Series) -> bool:
        """Add the log's reports to the series, and return whether every line was read."""
        size = file.seek(0, 2)
        start = max(size - self.limits.tail, 0)
        begin, data = from_line_start(file, start, size)
        if series.query.count != "last":
            self._read_forwards(file, begin, reader, series)
            start = 0
        for line in lines(data, self.limits.line):
            for report in reader.reports(line):
                series.add(*report)
        del data
        if series.primary is None and start > 0 and begin > 0:
            self._search_backwards(file, begin, reader, series)
        return start == 0 and size <= self.limits.searched

    def _read_forwards(self, file: BinaryIO, end: int, reader: LineReader, series: Series) -> None:
        """Add all reports of the primary metric before `end`: the value that counts may be anywhere."""
        begin = max(end - self.limits.searched, 0)
        too_long = begin > 0  # it begins within a line
        while begin < end:
            stop = min(begin + self.limits.block, end)
            if is_hole(file, begin, stop):
                begin, too_long = stop, False
                continue
            data = read_at(file, begin, stop)
            cut = after_last_end(data)
            end_of_long = LINE_END.search(data) if too_long else None
            self._take(data[end_of_long.end() if end_of_long else 0 : cut], reader, series)
            too_long = cut == 0  # a line that fills a block; its end is passed over too
            begin += cut or len(data)

    def _take(self, data: bytes, reader: LineReader, series: Series) -> None:
        """Add the primary metric's reports in `data`, which holds whole lines."""
        if not reader.possible(data):
            return
        for line in lines(data, self.limits.line):
            if reader.possible(line):
                for report in reader.primaries(line):
                    series.add(*report)

    def _search_backwards(self, file: BinaryIO, end: int, reader: LineReader, series: Series) -> None:
        """Look for the last report of the primary metric before `end`."""
        for block in blocks_backwards(file, end, self.limits):
            self._take(block, reader, series)
            if series.primary is not None:
                return


class GrowingLog:
    """Follows the primary metric in a log: feed() takes new bytes, `latest` and `step` are its last report.

    Only finished lines count, so that half of a number is never taken for the whole.
    """

    def __init__(self, query: Query, line_max: int = LINE_MAX) -> None:
        self.latest: float | None = None  # None as well while the last value is nan or infinite
        self.step: int | None = None
        self._reader = LineReader(query.primary.metric, query.regex)
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
        self._rest, self._passing = b"", True

    def _take(self, data: bytes) -> None:
        if self._passing:
            end = LINE_END.search(data)
            data = data[end.end() :] if end else b""
        if not self._reader.possible(data):
            return
        series = Series(self._query)
        for line in lines(data, self._line_max):
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


def main() -> None:
    """Answer the request in the last argument, in the process that metrics/apart.py starts."""
    request = json.loads(sys.argv[2])
    log = Path(request["log"])
    attempt = AttemptOutput(log=log, run_folder=log.parent, attempt_folder=log.parent, project=log.parent)
    backend = LogBackend(ReadLimits(**request["limits"]))
    answer = backend.read_here(attempt, msgspec.convert(request["query"], Query))
    sys.stdout.buffer.write(msgspec.json.encode(answer))
