"""One line of text within its limit of bytes: numbers, names, and what is cut."""

from arctl.dial import Answer
from ardaemon.core.text import cut_bytes, one_line

NAME_MAX = 32  # bytes of a metric's name in a line
ID_MAX = 12
SLUG_MAX = 64
ELLIPSIS = "…"
WHY_MAX = 240  # what a run waits for: room for pids, a project's path and the command that mends it


def number(value: object) -> str:
    """A value as a person reads it: six digits at most."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.6g}"
    return "none"


def short(text: object, most: int) -> str:
    """One clean line of at most `most` bytes."""
    return cut(one_line(str(text), most), most)


def cut(line: str, most: int) -> str:
    """At most `most` bytes of a line whose parts are clean."""
    if len(line.encode()) <= most:
        return line
    return cut_bytes(line, most - len(ELLIPSIS.encode())) + ELLIPSIS


def fit(head: str, body: object, tail: str, most: int) -> str:
    """`head body tail` as one line below `most` bytes; what is too long is cut from the body."""
    room = most - 1 - len((head + tail).encode())
    return cut(head + short(body, max(room, 0)) + tail, most - 1)


def short_id(view: Answer) -> str:
    return short(view["run_id"], ID_MAX)


def unit(value: object, sign: str) -> str:
    """A measured value with its unit; nothing where the driver gives none."""
    return "" if value is None else f"{number(value)}{sign}"


def setting(value: object) -> str:
    """One value of a session's settings."""
    return str(value) if isinstance(value, (str, bool)) else number(value)
