"""Reads a log as lines and their reports: from its end, from its beginning, or block by block backwards.

A line ends at \\n, at \\r (progress bars) and at NUL (holes of a sparse or truncated file). The reports are
the same wherever a block begins.
"""

import errno
import json
import os
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from msgspec import Struct

from ardaemon.core.spelling import one_spelling
from ardaemon.metrics.formats.echoes import Echoes
from ardaemon.metrics.formats.lines import LINE_MAX, Report, compile_regex, decode, is_numbered, regex_reports
from ardaemon.metrics.formats.names import parted
from ardaemon.metrics.formats.scan import Scan

_LINE = re.compile(rb"[^\n\r\0]+")
LINE_END = re.compile(rb"[\n\r\0]")
# Colours and the like, and texts for the terminal alone, as a link's address.
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*+[ -/]*+[@-~]?|\][^\x07\x1b\r\n]*+(?:\x07|\x1b\\)?|[ -/]*+[0-~]?)")
# pdb, cat -n: a number of a line, a tab, and what is no report.
_NUMBERED = re.compile(rb"(?!\d+\t) *+\d++ *+B?(?:->|>>)?\t(?!\s*[\w/]+\s*:\s)")
# How letters begin in UTF-8 that have another spelling; bars, blocks, arrows and most of Chinese have none.
_OTHER_SPELLING = re.compile(
    rb"[\xc2\xca-\xd4\xe1\xef]|\xe2(?:[\x81-\x85\x92\x93\xb1]|\x80[\xa4-\xa6])|\xe3[\x88-\x8f]|\xf0\x9d"
)
_NO_WORD = rb"(?![0-9A-Za-z_])"
_NAME_BYTE = rb"[A-Za-z_/.@%+-]"


class ReadLimits(Struct, frozen=True):
    """Bytes that are held in memory at once, and searched in all; `block` must be larger than `line`."""

    tail: int = 4 << 20  # some hours of a chatty script; read in well under a second
    # Of the search backwards: large enough for bytes.find to be fast, small beside the memory limit.
    block: int = 1 << 20
    line: int = LINE_MAX
    # Of one log that are searched, its last ones: some seconds. A hole of a terabyte takes no disk space.
    searched: int = 4 << 30
    # Before the part that is read: what tells whether its first lines are source code, or within an object.
    context: int = 64 << 10


class LineReader:
    """Turns one line after the other, as bytes, into reports, with one metric as the primary one."""

    def __init__(self, primary: str, regex: str | None, line_max: int = LINE_MAX) -> None:
        """Take the session's own pattern, if any. Raises UsageError if it does not compile.

        The reports have names in one spelling, as `primary` then has.
        """
        self.primary, self.line_max = one_spelling(primary), line_max
        self.pattern = compile_regex(regex) if regex else None
        # Without its qualifier, which may stand elsewhere in the line: `train: loss=0.9` is `train loss`.
        (self._qualifier, self._bare), bare = parted(self.primary), parted(primary)[1]
        # Kinds of lines do not keep the numbers in them (formats/aside.py).
        self._has_number = is_numbered(primary)
        # The name as it is printed, and as JSON escapes it.
        escaped = (json.dumps(one)[1:-1] for one in (bare, self._bare))
        self._spellings = sorted(name.encode() for name in {self._bare, *escaped})
        # `loss` is not in `val_loss`: without this a log full of the longer name would be parsed whole.
        # Behind a digit, or behind itself, it may be another process's.
        names = map(re.escape, self._spellings)
        words = (rb"%s(?<!%s%s)%s|%s%s" % (s, _NAME_BYTE, s, _NO_WORD, s, s) for s in names)
        self._printed = re.compile(b"|".join(words))
        self._named = re.compile(rb"(?:%s)[\"'`*]*+[ \t]*+[:=]" % self._printed.pattern)
        # In an object the keys that lead to the value stand by themselves: {"ema": {"loss": 1}} for ema/loss.
        key = re.escape(self._bare.rpartition("/")[2].encode())
        self._keyed = re.compile(rb"[\"']%s[\"'][ \t]*+:" % key) if "/" in self._bare else None
        self._echoes, self._scan = Echoes(), self._new_scan()
        self._other: str | None = None

    def forget(self) -> None:
        """Expect lines from another place in the log."""
        self._other = self.other
        self._echoes, self._scan = Echoes(), self._new_scan()

    def _new_scan(self) -> Scan:
        return Scan("" if self.pattern else self.primary)

    @property
    def other(self) -> str | None:
        """Return the other metric's name under which the primary's last word was reported: `train loss`."""
        return self._scan.other or self._other

    @other.setter
    def other(self, name: str | None) -> None:
        """Take what an earlier reading of the log has found."""
        self._other = name

    def reports(self, line: bytes) -> list[Report]:
        """Return every report of the next line."""
        if len(line) > self.line_max:
            return [*self.end(), *self.too_long(line, len(line))]
        text = self._text(line)
        if text is None:
            return self.end()
        found = self._scan.line(text)
        if self.pattern is None:
            return found
        others = [report for report in found if report.name != self.primary]
        return [*others, *regex_reports(self.pattern, text, self.primary)]

    @property
    def is_neutral(self) -> bool:
        """Return whether the lines before leave nothing that the next one could go on with."""
        return self._scan.is_neutral and not self._echoes.is_open and not self._has_number

    def is_apart(self, line: bytes) -> bool:
        """Return whether the next line says the same wherever it stands, and nothing of the primary metric.

        The reader is neutral, and stays so.
        """
        if self.pattern is not None or len(line) > self.line_max or self._has_name(line):
            return False
        text = decode(line)
        return self._scan.is_apart(text) and self._echoes.is_apart(text) and not _NUMBERED.match(line)

    def primaries(self, line: bytes) -> list[Report]:
        """Return the reports of the primary metric alone."""
        if len(line) > self.line_max:
            return [*self.end(), *self.too_long(line, len(line))]
        text = self._text(line)
        if text is None:
            return self.end()
        every = regex_reports(self.pattern, text, self.primary) if self.pattern else self._scan.line(text)
        return [report for report in every if report.name == self.primary]

    def skip(self, line: bytes) -> None:
        """Take note of a line whose reports do not count: the lines after it may depend on it."""
        text = self._text(line) if len(line) <= self.line_max else None
        if text is None:
            self.end()
        elif self.pattern is None:
            self._scan.skip(text)

    @property
    def is_folded(self) -> bool:
        """Return whether the last line ended with the primary metric's name: the next may have its number."""
        return self._scan.is_folded

    def unfolded(self, line: bytes) -> list[Report]:
        """Return what the next line holds of the report that the last line began, and nothing else."""
        text = self._text(line) if len(line) <= self.line_max else None
        return self._scan.unfolded(text) if text is not None else self.end()

    def end(self) -> list[Report]:
        """Return what is left when no line follows: the primary metric's name without a number."""
        return self._scan.end()

    def too_long(self, data: bytes, end: int) -> list[Report]:
        """Return the mention of the primary metric that begins before `end` in a line that is not read."""
        if self.pattern is not None or not self.possible(data):
            return []
        match = self._named.search(_ESCAPE.sub(b"", data) if b"\x1b" in data else data)
        why = f"its line has more than {self.line_max} bytes"
        return [Report(self.primary, None, None, why)] if match and match.start() < end else []

    def _text(self, line: bytes) -> str | None:
        """Return the line's visible text; None if it shows source code, but for a report that it cuts off."""
        text = decode(line)
        if not self._echoes.is_source(text):
            return None if _NUMBERED.match(line) else text
        before = self._echoes.before
        return before if before and self._bare in before else None

    def possible(self, data: bytes) -> bool:
        """Return whether `data` may report the primary metric: a cheap test.

        Where no heading stands above it, a False is certain.
        """
        if self._qualifier and self.pattern is None and self._qualifier.encode() not in data:
            return False
        return self._has_name(data)

    def may_report(self, line: bytes) -> bool:
        """Return whether the next line may report the primary metric, also below a heading."""
        return self.possible(line) or (not self._scan.has_no_headings and self._has_name(line))

    def _has_name(self, data: bytes) -> bool:
        if self.pattern is not None:
            return True
        if b"\x1b" in data:  # a colour may stand inside a name: rich colours paths so
            data = _ESCAPE.sub(b"", data)
        if not data.isascii() and _OTHER_SPELLING.search(data):
            data = one_spelling(data.decode("utf-8", "replace")).encode()
        if self._keyed is not None and self._keyed.search(data):
            return True
        return any(spelling in data for spelling in self._spellings) and bool(self._printed.search(data))


def lines(data: bytes) -> Iterator[bytes]:
    """Return the lines of `data` that are not empty."""
    return (match[0] for match in _LINE.finditer(data))


def after_last_end(data: bytes) -> int:
    """Return the position after the last line end; 0 if there is none."""
    return max(data.rfind(b"\n"), data.rfind(b"\r"), data.rfind(b"\0")) + 1


def read_at(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def from_line_start(file: BinaryIO, start: int, end: int) -> tuple[int, bytes]:
    """Return the bytes from `start` to `end`, without the line that `start` cuts, and where they begin.

    If no line begins between the two, there are no bytes, and they begin at `end`.
    """
    data = read_at(file, start, end)
    if start == 0:
        return 0, data
    first_end = LINE_END.search(data)
    cut = first_end.end() if first_end else len(data)
    return start + cut, data[cut:]


def is_hole(file: BinaryIO, start: int, end: int) -> bool:
    """Return whether nothing was ever written there: reading it would cost memory of the page cache."""
    try:
        at = os.lseek(file.fileno(), 0, os.SEEK_CUR)
    except OSError:  # no file of the kernel's
        return False
    try:
        return os.lseek(file.fileno(), start, os.SEEK_DATA) >= end
    except OSError as error:
        return error.errno == errno.ENXIO  # nothing after it either
    finally:
        os.lseek(file.fileno(), at, os.SEEK_SET)


class Block(NamedTuple):
    """A part of a log; `whole`: it consists of whole lines, else of a part of a line that is too long."""

    begin: int
    data: bytes
    whole: bool = True


def blocks_backwards(file: BinaryIO, end: int, limits: ReadLimits) -> Iterator[Block]:
    """Yield blocks before `end`, the last one first, for `searched` bytes or so.

    `end` is where a line begins, or the file's end. A line that fills a block is too long to be read; its
    beginning, in the block before, is passed over too.
    """
    too_long, first = False, max(end - limits.searched, 0)
    while end > first:
        start = max(end - limits.block, 0)
        if is_hole(file, start, end):
            end, too_long = start, False
            continue
        begin, data = from_line_start(file, start, end)
        if too_long:
            cut = after_last_end(data)
            yield Block(begin + cut, data[cut:], False)
            data = data[:cut]
        if begin < end:
            too_long = False
            yield Block(begin, data)
        else:
            yield Block(start, read_at(file, start, end), False)
            begin, too_long = start, True
        end = begin
