"""The end of a log, bounded: for reading (traceback first), and raw for recognising a reason."""

import os
from pathlib import Path

from ardaemon.core.text import clean, one_line
from ardaemon.pipeline.tracebacks import find

LINES_MAX = 80  # DESIGN §9: what `tail` may print
BYTES_MAX = 8 << 10
READ_BYTES = 256 << 10  # read from the end: room for long tracebacks behind a chatty shutdown
REASON_BYTES = 64 << 10  # what recognising a reason needs
LINE_CHARACTERS = 400  # of one line; a dumped tensor must not be all that one sees
MARKER = "--- end of log ---"
LEFT_OUT = "…"
# Of the lines and bytes, what a traceback may take: the rest shows what came before and after it.
TRACEBACK_SHARE = 2 / 3


def excerpt(path: Path, lines: int = LINES_MAX, most_bytes: int = BYTES_MAX) -> str:
    """The last `lines` lines of a log, cleaned, within `most_bytes` of UTF-8; empty if it cannot be read.

    If a traceback is near the end it comes first, then MARKER, then the last of the other lines. Neither limit
    can pass LINES_MAX and BYTES_MAX. Of a progress bar, which \\r redraws, the last state is shown.
    """
    lines, most_bytes = min(lines, LINES_MAX), min(most_bytes, BYTES_MAX)
    log = _readable(tail_text(path, READ_BYTES))
    failure = find(log)
    if failure is None:
        return "\n".join(_last(log, lines, most_bytes))
    traceback = log[failure.start : failure.end]
    others = log[: failure.start] + log[failure.end :]
    first = _last(traceback, max(int(lines * TRACEBACK_SHARE), 1), int(most_bytes * TRACEBACK_SHARE))
    if len(first) < len(traceback) and len(first) > 1:
        first[0] = LEFT_OUT
    used = sum(_size(line) for line in [*first, MARKER])
    rest = _last(others, lines - len(first) - 1, most_bytes - used)
    return "\n".join([*first, MARKER, *rest] if rest else first[: max(lines, 0)])


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
        data = data[data.find(b"\n") + 1 :]
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
