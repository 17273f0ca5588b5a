"""Makes lines of text within a limit of bytes: numbers, names, cuts."""

from arctl.dial import Answer
from ardaemon.core.text import cut_bytes, one_line

NAME_MAX = 32  # bytes of a metric's name in a line
ID_MAX = 12
SLUG_MAX = 64
ELLIPSIS = "…"
PROJECT_MAX, PROJECT_LINE_MAX = 200, 400  # bytes: with the four lines of `run --wait` less than 1 KiB
WHY_MAX = 240  # bytes of a run's reason to wait: pids, a project's path and the command that mends it fit in


def number(value: object) -> str:
    """Return a value as a person reads it, with six digits at most; "none" if it is no number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.6g}"
    return "none"


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


def project_line(project: str, runner: str) -> str:
    """Return `project: /srv/lr | runner: uv run train.py`; `runner` is "" before the first session."""
    head = f"project: {short(project, PROJECT_MAX)}"
    return fit(f"{head} | runner: ", runner, "", PROJECT_LINE_MAX) if runner else head


def short_id(view: Answer) -> str:
    return short(view["run_id"], ID_MAX)


def unit(value: object, sign: str) -> str:
    """Return a measured value with its unit; "" if the driver gives no value."""
    return "" if value is None else f"{number(value)}{sign}"


def setting(value: object) -> str:
    """Return one value of a session's settings as text."""
    return str(value) if isinstance(value, (str, bool)) else number(value)
