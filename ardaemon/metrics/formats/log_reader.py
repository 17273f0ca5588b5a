"""Reads a log as lines and their reports: from its end, from its beginning, or block by block backwards.

A line ends at \\n, at \\r (progress bars) and at NUL (holes of a sparse or truncated file). The reports are
the same wherever a block begins.
"""

import errno
import json
import os
import re
from collections.abc import Iterator
from typing import BinaryIO

from msgspec import Struct

from ardaemon.core.spelling import one_spelling
from ardaemon.metrics.formats.lines import LINE_MAX, Report, compile_regex, decode, regex_reports, reports

_LINE = re.compile(rb"[^\n\r\0]+")
LINE_END = re.compile(rb"[\n\r\0]")
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*+[ -/]*+[@-~]?|[ -/]*+[0-~]?)")
_NAME_BYTE = rb"[0-9A-Za-z_/.@%+-]"


class ReadLimits(Struct, frozen=True):
    """Bytes that are held in memory at once, and searched in all; `block` must be larger than `line`."""

    tail: int = 4 << 20  # some hours of a chatty script; read in well under a second
    # Of the search backwards: large enough for bytes.find to be fast, small beside the memory limit.
    block: int = 1 << 20
    line: int = LINE_MAX
    # Of one log that are searched, its last ones: some seconds. A hole of a terabyte takes no disk space.
    searched: int = 4 << 30


class LineReader:
    """Turns lines, as bytes, into reports, with one metric as the primary one."""

    def __init__(self, primary: str, regex: str | None) -> None:
        """Take the session's own pattern, if any. Raises UsageError if it does not compile.

        The reports have names in one spelling, as `primary` then has.
        """
        self.primary = one_spelling(primary)
        self.pattern = compile_regex(regex) if regex else None
        # The name as it is printed, and as JSON escapes it.
        escaped = (json.dumps(name)[1:-1] for name in (primary, self.primary))
        self._spellings = sorted(name.encode() for name in {self.primary, *escaped})
        # `loss` is not in `val_loss`: without this a log full of the longer name would be parsed whole.
        words = (
            rb"%s(?<!%s%s)(?![0-9A-Za-z_])" % (s, _NAME_BYTE, s) for s in map(re.escape, self._spellings)
        )
        self._printed = re.compile(b"|".join(words))

    def reports(self, line: bytes) -> Iterator[Report]:
        """Yield every report of one line."""
        text = decode(line)
        if self.pattern is None:
            yield from reports(text, self.primary)
            return
        yield from (report for report in reports(text, self.primary) if report[0] != self.primary)
        yield from regex_reports(self.pattern, text, self.primary)

    def primaries(self, line: bytes) -> Iterator[Report]:
        """Return the reports of the primary metric alone."""
        text = decode(line)
        every = (
            regex_reports(self.pattern, text, self.primary) if self.pattern else reports(text, self.primary)
        )
        return (report for report in every if report[0] == self.primary)

    def possible(self, data: bytes) -> bool:
        """Return whether `data` may report the primary metric: a cheap test, whose False is certain."""
        if self.pattern is not None:
            return True
        if b"\x1b" in data:  # a colour may stand inside a name: rich colours paths so
            data = _ESCAPE.sub(b"", data)
        if not data.isascii():
            data = one_spelling(data.decode("utf-8", "replace")).encode()
        return any(spelling in data for spelling in self._spellings) and bool(self._printed.search(data))


def lines(data: bytes, most: int) -> Iterator[bytes]:
    """Return the lines of `data` that are not empty and not longer than `most` bytes."""
    return (match[0] for match in _LINE.finditer(data) if match.end() - match.start() <= most)


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


def blocks_backwards(file: BinaryIO, end: int, limits: ReadLimits) -> Iterator[bytes]:
    """Yield blocks of whole lines before `end`, the last block first, for `searched` bytes or so.

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
            data = data[: after_last_end(data)]
        if begin < end:
            too_long = False
            yield data
        else:
            begin, too_long = start, True
        end = begin
