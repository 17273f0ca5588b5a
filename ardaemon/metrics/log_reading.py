"""Reads a log from its end: all reports of its last part, then, block by block, those of the primary metric.

The end of the log (ReadLimits.tail) is read in full and gives all metrics. If the primary metric is not in
it, the rest is searched backwards for that metric alone. Where another value than the last may count, the
rest is read from its beginning.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from ardaemon.core.config import NAME_MAX
from ardaemon.metrics.bookmark import Bookmark
from ardaemon.metrics.formats.aside import Aside
from ardaemon.metrics.formats.lines import Report, decode
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
from ardaemon.metrics.series import Series

# Bytes. Programs that buffer what they print write it in multiples of this: if one is killed, the log ends at
# one of them.
WRITTEN_AT_ONCE = 4 << 10


class _State(Struct, frozen=True):
    """How far the log has been read: forwards up to the line that begins at `at`, or backwards down to it."""

    at: int
    series: Series
    seen: bytes
    other: str | None


@dataclass
class LogReading:
    """One reading of one log, or of a part of it that begins at `begin`."""

    file: BinaryIO
    reader: LineReader
    series: Series
    begin: int = 0
    seen: bytes = b""  # the last line that has the primary metric's name and reports nothing of it
    bookmark: Bookmark | None = None

    def read(self, limits: ReadLimits) -> bool:
        """Add the log's reports to the series, and return whether every line was read."""
        size = self.file.seek(0, 2)
        start = max(size - limits.tail, 0)
        begin, data = from_line_start(self.file, start, size)
        state = self.bookmark.found(_State) if self.bookmark is not None else None
        if state is not None:
            self._go_on(state)
        first = max(begin - limits.searched, 0)
        if self.series.query.count != "last":
            self._read_forwards(
                state.at if state else first, begin, limits, within=state is None and first > 0
            )
            start, state = 0, None
        if state is None:
            self._warm_up(begin, limits)
            self._read_end(data, size)
        del data
        if start > 0 and begin > 0:
            end = state.at if state else begin
            self._search_backwards(end, replace(limits, searched=end - first))
        return start == 0 and size <= limits.searched

    def _go_on(self, state: _State) -> None:
        self.series, self.seen = state.series, state.seen
        self.reader.other = state.other

    def _reached(self, at: int, size: int) -> None:
        """Note that `size` more bytes are read, up or down to `at`, where a line begins."""
        if self.bookmark is not None:
            self.bookmark.reached(size, partial(self._state, at))

    def _state(self, at: int) -> _State:
        return _State(at, self.series, self.seen, self.reader.other)

    def _read_end(self, data: bytes, size: int) -> None:
        """Take all reports of the log's end."""
        ends_at = size + self.begin
        unfinished = data[after_last_end(data) :] if ends_at % WRITTEN_AT_ONCE == 0 else b""
        kinds, is_neutral = Aside(), False
        for number, line in enumerate(lines(data[: len(data) - len(unfinished)])):
            if is_neutral and (kinds.is_known(number, line) or self._is_put_aside(kinds, number, line)):
                continue
            found = self.reader.reports(line)
            is_neutral = self.reader.is_neutral
            kinds.note(number, found)
            self._add(found)
            self._note_seen(line, found)
        self._add(kinds.reports())
        for report in self.reader.reports(unfinished) if unfinished else []:
            torn = report.name == self.reader.primary and decode(unfinished).rstrip().endswith(report.printed)
            self._add([report._replace(value=None, printed="the log ends within it") if torn else report])
        self._add(self.reader.end())

    def _is_put_aside(self, kinds: Aside, number: int, line: bytes) -> bool:
        if not self.reader.is_apart(line):
            return False
        kinds.put(number, line)
        return True

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

    def _read_forwards(self, begin: int, end: int, limits: ReadLimits, within: bool) -> None:
        """Add all reports of the primary metric before `end`: the value that counts may be anywhere.

        `within` says that `begin` may lie within a line.
        """
        too_long = within
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
            if not too_long:
                self._reached(begin, len(data))

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
        if self.reader.is_folded or self.reader.may_report(line):
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
            elif self._add_earlier(found):
                return
            if block.whole:
                self._reached(block.begin, len(block.data))

    def _add_earlier(self, found: list[Report]) -> bool:
        """Take the reports before the one that cannot be read, and return whether one has a value."""
        for report in reversed(found):
            self.series.add_earlier(report)
            if report.value is not None:
                return True
        return False

    def _of_part(self, block: Block) -> list[Report]:
        """Return the mention in a part of a line that is too long; its name may end in the next part."""
        data = read_at(self.file, block.begin, block.begin + len(block.data) + NAME_MAX)
        return self.reader.too_long(data, len(block.data))

    def _add(self, found: Iterable[Report]) -> None:
        for report in found:
            if report.value is not None:
                self.series.add(report.name, report.value, report.place, printed=report.printed)
            elif report.name == self.reader.primary:
                self.series.add_unread(report.printed, report.place, report.last)
