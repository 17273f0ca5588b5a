"""A log of which --max-log has dropped the middle: its head and its tail, each as a log of its own."""

from typing import BinaryIO, NamedTuple

from ardaemon.core.size import dropped
from ardaemon.host import holes
from ardaemon.metrics.formats.log_reader import LINE_END, after_last_end, read_at
from ardaemon.metrics.formats.part import from_position

LOOKED_THROUGH = 1 << 20  # bytes at once, for the end of a line


class KeptLog(NamedTuple):
    """What is kept, in whole lines, where the tail begins in the log, and how much was dropped, in words."""

    head: BinaryIO
    tail: BinaryIO
    tail_begin: int
    told: str


def kept_of(file: BinaryIO, max_log: float | None) -> KeptLog | None:
    """Return what is kept of a log; None if all of it is. Without a limit a hole is nobody's."""
    gap = holes.gap(file.fileno()) if max_log is not None else None
    if gap is None:
        return None
    start, end = gap
    begin = _first_line(file, end)
    head = from_position(file, 0, _last_line_end(file, start))
    return KeptLog(head, from_position(file, begin), begin, dropped(end - start, max_log))


def _first_line(file: BinaryIO, cut: int) -> int:
    """Return where the first line begins that is not cut; the end of the log if there is none."""
    at = cut
    while data := read_at(file, at, at + LOOKED_THROUGH):
        if found := LINE_END.search(data):
            return at + found.end()
        at += len(data)
    return at


def _last_line_end(file: BinaryIO, cut: int) -> int:
    """Return where the last line ends that is not cut; `cut` where none ends near it."""
    first = max(cut - LOOKED_THROUGH, 0)
    found = after_last_end(read_at(file, first, cut))
    return first + found if found or first == 0 else cut
