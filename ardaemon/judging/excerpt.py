"""The end of a log, bounded: for reading (traceback first), and raw for recognising a reason."""

import os
import re
from pathlib import Path

from ardaemon.core.text import clean, one_line
from ardaemon.judging.tracebacks import find

LINES_MAX = 80  # DESIGN §9: what `tail` may print
BYTES_MAX = 8 << 10
READ_BYTES = 256 << 10  # read from the end: room for long tracebacks behind a chatty shutdown
LINE_CHARACTERS = 400  # of one line; a dumped tensor must not be all that one sees
MARKER = "--- end of log ---"
LEFT_OUT = "…"
# Of the lines and bytes, what a traceback may take: the rest shows what came before and after it.
TRACEBACK_SHARE = 2 / 3


def excerpt(path: Path, lines: int = LINES_MAX, most_bytes: int = BYTES_MAX) -> str:
    """The last `lines` lines of a log, cleaned, within `most_bytes` of UTF-8; empty if it cannot be read.

    A traceback near the end comes first, then MARKER, then the last of the other lines. Neither limit can
    pass LINES_MAX and BYTES_MAX. Of a progress bar, which \\r redraws, the last state is shown.
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


def _traceback(lines: list[str], most: int, most_bytes: int) -> list[str]:
    """Its share of the limits, the end of it first of all: that is where the error stands."""
    share = max(int(most * TRACEBACK_SHARE), min(most, 1))
    kept = _last(lines, share, int(most_bytes * TRACEBACK_SHARE))
    if 1 < len(kept) < len(lines) and _size(LEFT_OUT) <= _size(kept[0]):
        kept[0] = LEFT_OUT
    return kept


def tail_text(path: Path, most_bytes: int) -> str:
    """The last whole lines of a log within `most_bytes`, as printed; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(size - most_bytes, 0)
            file.seek(start)
            data = file.read(most_bytes)
    except OSError:
        return ""
    if start > 0:
        # Less the line that was cut, unless there is no other.
        cut = re.search(rb"[\r\n]+(?=.)", data, re.DOTALL)
        data = data[cut.end() :] if cut else data
    return data.decode("utf-8", "replace")


def _readable(text: str) -> list[str]:
    """Lines as a terminal would show them in the end: progress redrawn, no controls, none too long."""
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
    """As many of the last lines as both limits allow."""
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
