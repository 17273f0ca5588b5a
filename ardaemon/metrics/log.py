"""The log backend: metrics that a run printed, read from the end of its log in bounded memory.

The end of the log (ReadLimits.tail) is read in full and gives all metrics. If the primary metric is not in
it, the rest is searched backwards, block by block, for that metric alone. With a regex, the primary metric
comes from the regex alone, line by line; the other metrics are read as they are printed.
"""

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec.structs import asdict, replace

from ardaemon.core import file_kinds, files
from ardaemon.core.config import CUSTOM_DEADLINE_S, NAME_MAX
from ardaemon.core.text import one_line
from ardaemon.metrics import apart
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.formats.lines import LINE_MAX, Report, compile_regex, decode, step
from ardaemon.metrics.formats.log_reader import (
    LINE_END,
    Block,
    LineReader,
    ReadLimits,
    after_last_end,
    blocks_backwards,
    from_line_start,
    is_hole,
    lines,
    read_at,
)
from ardaemon.metrics.formats.part import from_position
from ardaemon.metrics.kept_log import KeptLog, kept_of
from ardaemon.metrics.not_finite import NotFinite
from ardaemon.metrics.series import Series

# Bytes. Programs that buffer what they print write it in multiples of this: if one is killed, the log ends at
# one of them.
WRITTEN_AT_ONCE = 4 << 10
SEEN_MAX = 80  # characters of a line that names the primary metric and reports nothing of it
CONTEXT = ReadLimits().context


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
        series = Series(query)
        try:
            with _opened(attempt) as file:
                # Of a log that the script writes itself nothing is dropped.
                kept = kept_of(file, query.max_log if attempt.log_from is None else None)
                reading = self._reading(kept.tail if kept else file, series, kept.tail_begin if kept else 0)
                whole = reading.read(self.limits)
                if kept is not None:
                    whole = False
                    self._note_dropped(kept, series)
                absent = _absent(query, file.seek(0, 2), reading.seen, kept)
        except OSError as error:
            return Readings(self.name, {}, problem=f"{attempt.log.name} cannot be read: {error.strerror}")
        readings = series.readings(self.name, whole=whole, absent=absent)
        # A file of the run may still hold what the log shows and nobody can read.
        is_unknown = series.unread is not None or series.is_lost
        return replace(readings, settled=readings.value is not None) if is_unknown else readings

    def _reading(self, file: BinaryIO, series: Series, begin: int = 0) -> "_Reading":
        reader = LineReader(series.query.primary.metric, series.query.regex, self.limits.line)
        return _Reading(file, reader, series, begin)

    def _note_dropped(self, kept: KeptLog, series: Series) -> None:
        """Let no value stand in for one that may have been dropped: no earlier one, no best of the rest."""
        series.lost = kept.told
        if series.primary is not None or series.unread is not None:
            return
        before = Series(replace(series.query, count="last"))
        self._reading(kept.head, before).read(self.limits)
        if before.primary is not None or before.unread is not None:
            series.add_unread(f"{kept.told}, and the tail that is kept has none")
            series.stale = before.primary.value if before.primary is not None else None


@dataclass
class _Reading:
    """One reading of one log, or of a part of it that begins at `begin`."""

    file: BinaryIO
    reader: LineReader
    series: Series
    begin: int = 0
    seen: bytes = b""  # the last line that has the primary metric's name and reports nothing of it

    def read(self, limits: ReadLimits) -> bool:
        """Add the log's reports to the series, and return whether every line was read."""
        size = self.file.seek(0, 2)
        start = max(size - limits.tail, 0)
        begin, data = from_line_start(self.file, start, size)
        if self.series.query.count != "last":
            self._read_forwards(begin, limits)
            start = 0
        self._warm_up(begin, limits)
        self._read_end(data, size)
        del data
        if start > 0 and begin > 0:
            self._search_backwards(begin, limits)
        return start == 0 and size <= limits.searched

    def _read_end(self, data: bytes, size: int) -> None:
        """Take all reports of the log's end."""
        ends_at = size + self.begin
        unfinished = data[after_last_end(data) :] if ends_at % WRITTEN_AT_ONCE == 0 else b""
        for line in lines(data[: len(data) - len(unfinished)]):
            found = self.reader.reports(line)
            self._add(found)
            self._note_seen(line, found)
        for report in self.reader.reports(unfinished) if unfinished else []:
            torn = report.name == self.reader.primary and decode(unfinished).rstrip().endswith(report.printed)
            self._add([report._replace(value=None, printed="the log ends within it") if torn else report])
        self._add(self.reader.end())

    def _note_seen(self, line: bytes, found: Iterable[Report]) -> None:
        if self.series.primary is not None or self.reader.pattern is not None:
            return
        if self.reader.possible(line) and all(report.name != self.reader.primary for report in found):
            self.seen = line

    def _warm_up(self, begin: int, limits: ReadLimits) -> None:
        """Read what stands before `begin`, where a line begins, for the sake of the lines from there on."""
        self.reader.forget()
        for line in lines(from_line_start(self.file, max(begin - limits.context, 0), begin)[1]):
            self.reader.skip(line)

    def _read_forwards(self, end: int, limits: ReadLimits) -> None:
        """Add all reports of the primary metric before `end`: the value that counts may be anywhere."""
        begin = max(end - limits.searched, 0)
        too_long = begin > 0  # it begins within a line
        while begin < end:
            stop = min(begin + limits.block, end)
            if is_hole(self.file, begin, stop):
                begin, too_long = stop, False
                continue
            data = read_at(self.file, begin, stop)
            cut = after_last_end(data)
            end_of_long = LINE_END.search(data) if too_long else None
            first = end_of_long.end() if end_of_long else 0
            if cut == 0 or first:
                self._add(self._of_part(Block(begin, data[: first or None], False)))
            self._add(self._primaries(begin + first, data[first:cut], limits))
            too_long = cut == 0  # a line that fills a block; its end is passed over too
            begin += cut or len(data)

    def _primaries(self, begin: int, data: bytes, limits: ReadLimits) -> list[Report]:
        """Return the primary metric's reports in `data`, whole lines that begin at `begin`."""
        if not self.reader.possible(data):
            return []
        self._warm_up(begin, limits)
        found = [report for line in lines(data) for report in self._of_line(line)]
        if self.reader.is_folded:
            after = read_at(self.file, begin + len(data), begin + len(data) + limits.line + 1)
            found += self.reader.unfolded(next(lines(after), b""))
        return found

    def _of_line(self, line: bytes) -> list[Report]:
        if self.reader.is_folded or self.reader.possible(line):
            found = self.reader.primaries(line)
            if not found and not self.seen:
                self.seen = line
            return found
        self.reader.skip(line)
        return []

    def _search_backwards(self, end: int, limits: ReadLimits) -> None:
        """Look for the last report of the primary metric before `end`, where no later one could be read."""
        series = self.series
        for block in blocks_backwards(self.file, end, limits):
            if series.primary is not None:
                return
            found = self._primaries(block.begin, block.data, limits) if block.whole else self._of_part(block)
            if series.unread is None:
                self._add(found)
            elif values := [report.value for report in found if report.value is not None]:
                series.stale = values[-1]
                return

    def _of_part(self, block: Block) -> list[Report]:
        """Return the mention in a part of a line that is too long; its name may end in the next part."""
        data = read_at(self.file, block.begin, block.begin + len(block.data) + NAME_MAX)
        return self.reader.too_long(data, len(block.data))

    def _add(self, found: Iterable[Report]) -> None:
        for report in found:
            if report.value is not None:
                self.series.add(report.name, report.value, report.place, printed=report.printed)
            elif report.name == self.reader.primary:
                self.series.add_unread(report.printed, report.place)


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
        finite = report.value is not None and math.isfinite(report.value)
        self.latest, self.step = (report.value if finite else None), step(report.place)
        self.not_finite.take(report.value, self._printed, self.step)


def _opened(attempt: AttemptOutput) -> BinaryIO:
    """Open run.log, or this run's part of a log that the script writes itself."""
    if attempt.log_from is None:
        return files.opened(attempt.log, file_kinds.LOG)
    return from_position(files.opened(attempt.log, file_kinds.METRICS), attempt.log_from)


def _absent(query: Query, size: int, seen: bytes, kept: KeptLog | None = None) -> str:
    """Say why the log has no report of the primary metric, and what it has instead."""
    if size == 0:
        return "the log is empty"
    if kept is not None:
        return f"{_absent(query, size, seen)}, as far as the log is kept: {kept.told}"
    if query.regex:
        return f"--metric-regex {one_line(query.regex, 80)!r} found no {query.primary.metric} in the log"
    where = f"; it stands only in lines such as {one_line(decode(seen), SEEN_MAX)!r}" if seen else ""
    return f"{query.primary.metric} was never printed{where}"


def main() -> None:
    """Answer the request in the last argument, in the process that metrics/apart.py starts."""
    request = json.loads(sys.argv[2])
    log = Path(request["log"])
    attempt = AttemptOutput(
        log=log,
        run_folder=log.parent,
        attempt_folder=log.parent,
        project=log.parent,
        log_from=request["log_from"],
    )
    backend = LogBackend(ReadLimits(**request["limits"]))
    answer = backend.read_here(attempt, msgspec.convert(request["query"], Query))
    sys.stdout.buffer.write(msgspec.json.encode(answer))
