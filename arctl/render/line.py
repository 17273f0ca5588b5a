"""Parts of lines that several commands print, and how long they may be."""

from arctl.dial import Answer
from ardaemon.core.line import fit, number, short

NAME_MAX = 32  # bytes of a metric's name in a line
ID_MAX = 12
SLUG_MAX = 64
PROJECT_MAX, PROJECT_LINE_MAX = 200, 400  # bytes: with the four lines of `run --wait` less than 1 KiB
WHY_MAX = 240  # bytes of a run's reason to wait: pids, a project's path and the command that mends it fit in


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
