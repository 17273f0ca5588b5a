"""Makes lines of text within a limit of bytes: numbers, names, cuts (standard library alone)."""

from ardaemon.core.text import ELLIPSIS, cut_bytes, one_line

LONG = 1e6  # from here on a number has an exponent, as in `number`


def number(value: object) -> str:
    """Return a value as a person reads it, with six digits at most; "none" if it is no number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.6g}"
    return "none"


def times(ratio: float) -> str:
    """Return how many times one number is another, to a tenth; with six digits where that would be long."""
    return f"{ratio:.1f}" if abs(ratio) < LONG else number(ratio)


def hours(used: float, most: float) -> str:
    """Return how many of so many hours are used up: `2.51/8`."""
    return f"{round(used, 2):g}/{most:g}"


def counted(count: int, noun: str) -> str:
    """Return `1 run`, `12 runs`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def short(text: object, most: int) -> str:
    """Return `text` as one clean line of at most `most` bytes."""
    return cut(one_line(str(text), most), most)


def cut(line: str, most: int) -> str:
    """Cut a line whose parts are clean to at most `most` bytes, the ellipsis included."""
    if len(line.encode()) <= most:
        return line
    return cut_bytes(line, most - len(ELLIPSIS.encode())) + ELLIPSIS


def fit(head: str, body: object, tail: str, most: int) -> str:
    """Join head, body and tail to a line below `most` bytes; the body is cut if they are too long."""
    room = most - 1 - len((head + tail).encode())
    return cut(head + short(body, max(room, 0)) + tail, most - 1)
