"""Parts of lines that several commands print, and how long they may be."""

from collections.abc import Sequence

from arctl.dial import Answer
from ardaemon.core.line import fit, number, short

NAME_MAX = 32  # bytes of a metric's name in a line
ID_MAX = 12
SLUG_MAX = 64
PROJECT_MAX, PROJECT_LINE_MAX = 200, 400  # bytes: with the four lines of `run --wait` less than 1 KiB
LEVELS = " ▁▂▃▄▅▆▇█"  # of a graph of one line
WHY_MAX = 240  # bytes of a run's reason to wait: pids, a project's path and the command that mends it fit in


def project_line(project: str, runner: str) -> str:
    """Return `project: /srv/lr | runner: uv run train.py`; `runner` is "" before the first session."""
    head = f"project: {short(project, PROJECT_MAX)}"
    return fit(f"{head} | runner: ", runner, "", PROJECT_LINE_MAX) if runner else head


def short_id(view: Answer) -> str:
    return short(view["run_id"], ID_MAX)


def unit(value: object, sign: str) -> str:
    """Return a measured value, rounded, with its unit; "" if the driver gives no value."""
    return f"{value:.0f}{sign}" if isinstance(value, (int, float)) else ""


def setting(value: object) -> str:
    """Return one value of a session's settings as text."""
    return str(value) if isinstance(value, (str, bool)) else number(value)


def spark(shares: Sequence[float | None], width: int) -> str:
    """Return the last `width` shares (0 to 1) as a graph of one line; what is not known is a gap."""
    shown = list(shares)[-width:] if width > 0 else []
    levels = [0 if share is None else 1 + round(min(max(share, 0.0), 1.0) * 7) for share in shown]
    return "".join(LEVELS[level] for level in levels).rjust(width)


def ordinal(number: int) -> str:
    """Return `1st`, `2nd`, `3rd`, `4th`."""
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
