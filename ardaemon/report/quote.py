"""Words of a report. What a run said stays data in Markdown: one clean line in a code span (CommonMark 6.1).

Nothing inside a code span makes a heading, a link, an emphasis or HTML, and only a backtick ends it.
"""

from ardaemon.core.config import HOUR_S
from ardaemon.core.line import number, short

NOTHING = "(none)"
MARKS = 2  # bytes of the two backticks


def quoted(text: str, most: int) -> str:
    """Return the text as a code span of at most `most` bytes; a backtick in it becomes an apostrophe."""
    line = short(text.replace("`", "'"), most - MARKS)
    return f"`{line}`" if line else NOTHING


def change(before: float | None, value: float | None) -> str:
    """Return `0.851 → 0.844 (-0.007)`; the value alone where there was none before."""
    if before is None or value is None:
        return number(value)
    return f"{number(before)} → {number(value)} ({value - before:+.3g})"


def time_of(seconds: float) -> str:
    """Return a time as `40.3 h`, `12 min` or `8 s`."""
    if seconds >= HOUR_S:
        return f"{seconds / HOUR_S:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 2 * 60 else f"{seconds:.0f} s"
