"""The end of a log, bounded: cleaned for people to read, and raw for finding a crash's reason in it."""

import os
import re
from pathlib import Path

from ardaemon.core import file_kinds, files
from ardaemon.core.text import clean, one_line
from ardaemon.judging.tracebacks import find

LINES_MAX = 80  # DESIGN §9: what `tail` may print
BYTES_MAX = 8 << 10
READ_BYTES = 256 << 10  # read from the log's end: room for long tracebacks before a chatty shutdown
LAST_LINE_BYTES = 4 << 10  # for the last line alone: a progress bar redraws itself in 100 bytes
LINE_CHARACTERS = 400  # shown of one line, so that a dumped tensor does not fill the excerpt
MARKER = "--- end of log ---"
LEFT_OUT = "…"
# A traceback takes at most this share of the lines and bytes; the rest shows what came before and after it.
TRACEBACK_SHARE = 2 / 3


def excerpt(path: Path, lines: int = LINES_MAX, most_bytes: int = BYTES_MAX) -> str:
    """Return the last lines of a log, cleaned, in at most `most_bytes` of UTF-8; "" if it cannot be read.

    A traceback near the end comes first, then MARKER, then the last of the other lines. LINES_MAX and
    BYTES_MAX cap both limits. A progress bar, which \\r redraws, is shown in its last state.
    """
    lines, most_bytes = min(lines, LINES_MAX), min(most_bytes, BYTES_MAX)
    log = _readable(tail_text(path, READ_BYTES))
    failure = find(log)
    first = [] if failure is None else _traceback(log[failure.start : failure.end], lines, most_bytes)
    if failure is None or not first:
        return "\n".join(_last(log, lines, most_bytes))
    others = log[: failure.start] + log[failure.end :]
    used = sum(_size(line) for line in [*first, MARKER])
    rest = _last(others, lines - len(first) - 1, most_bytes - used)
    return "\n".join([*first, MARKER, *rest] if any(rest) else first)


def last_line(path: Path, most: int) -> str:
    """Return the last line of a log that says something, cleaned, in at most `most` characters."""
    lines = _readable(tail_text(path, LAST_LINE_BYTES))
    return one_line(next((line for line in reversed(lines) if line.strip()), ""), most)


def _traceback(lines: list[str], most: int, most_bytes: int) -> list[str]:
    """Cut a traceback to its share of the limits; the end stays, because the error stands there."""
    share = max(int(most * TRACEBACK_SHARE), min(most, 1))
    kept = _last(lines, share, int(most_bytes * TRACEBACK_SHARE))
    if 1 < len(kept) < len(lines) and _size(LEFT_OUT) <= _size(kept[0]):
        kept[0] = LEFT_OUT
    return kept


def tail_text(path: Path, most_bytes: int) -> str:
    """Return the last whole lines of a log within `most_bytes`, as printed; "" if the log cannot be read."""
    try:
        with files.opened(path, file_kinds.LOG) as file:
            size = file.seek(0, os.SEEK_END)
            start = max(size - most_bytes, 0)
            file.seek(start)
            data = file.read(most_bytes)
    except OSError:
        return ""
    if start > 0:
        # Drop the line that was cut, unless there is no other.
        cut = re.search(rb"[\r\n]+(?=.)", data, re.DOTALL)
        data = data[cut.end() :] if cut else data
    return data.decode("utf-8", "replace")


def _readable(text: str) -> list[str]:
    """Split into lines as a terminal shows them in the end: progress redrawn, no controls, none too long."""
    drawn = "\n".join(_last_state(line) for line in text.split("\n"))
    return [_shortened(line.rstrip()) for line in clean(drawn).rstrip("\n").split("\n")]


def _last_state(line: str) -> str:
    return next((state for state in reversed(line.split("\r")) if state.strip()), "")


def _shortened(line: str) -> str:
    if len(line) <= LINE_CHARACTERS:
        return line
    indent = line[: min(len(line) - len(line.lstrip()), LINE_CHARACTERS // 2)]
    return indent + one_line(line, LINE_CHARACTERS - len(indent))


def _last(lines: list[str], most: int, most_bytes: int) -> list[str]:
    """Return as many of the last lines as both limits allow."""
    kept: list[str] = []
    # One byte more than the limit: the last line needs no line end.
    left = most_bytes + 1
    for line in reversed(lines[-most:] if most > 0 else []):
        left -= _size(line)
        if left < 0:
            break
        kept.append(line)
    return kept[::-1]


def _size(line: str) -> int:
    return len(line.encode()) + 1
