"""What a line of a log reports, and a session's own regular expression, which finds it. Pure: no I/O."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, lru_cache
from operator import itemgetter
from typing import NamedTuple

from ardaemon.core.config import NAME_MAX
from ardaemon.core.errors import UsageError
from ardaemon.core.spelling import one_spelling
from ardaemon.core.text import clean, one_line
from ardaemon.metrics.formats.numbers import number, unread

# Bytes of a line. A longer one is no report and is passed over whole, because half of it could mislead.
LINE_MAX = 64 << 10
# Characters of a line that a session's regex sees; they bound the cost of a slow pattern.
REGEX_LINE_MAX = 4 << 10
STEP_MAX = (
    10**18 - 1
)  # a float's integer may have 309 digits, and one in JSON thousands: those count no steps

# The place of a report: line and position, from which step() reads the step when it is wanted; or the step
# itself.
Place = tuple[str, int] | int | None


class Report(NamedTuple):
    """A number under a name; `printed` is its text.

    `value` is None where the log names the primary metric and the number cannot be read; `printed` then says
    why. It may be nan or infinite. `last` is the last number of a list that stands there instead.
    """

    name: str
    value: float | None
    place: Place
    printed: str
    last: str | None = None

    @property
    def at(self) -> int:
        """Return the position in the line."""
        return self.place[1] if isinstance(self.place, tuple) else 0


_IN_NAMES = r"\w/.@%+-"
# A name of one word, which is read wherever a number follows it. Any other name, as `lm loss value` or
# `mAP@[0.5:0.95]`, is read if it is the primary metric: a word that no script prints stands in for it.
_ONE_WORD = r"[^\W\d](?:[\w/.@%+-]*[\w/@%+-])?"
STAND_IN = "theprimarymetricofthisrun"
_STEP = (
    r"(?<![/.@%+-])\b(?:global_step|_step|[Ss]tep|STEP|[Ii]teration|[Ii]ter)\b[\"']?[ \t:=#]*+"
    r"(?P<step>[0-9]{1,18})(?![\w.]|,[0-9])"
)


# A number that stands by itself; the digits in a name are a part of it.
NUMBER = re.compile(rb"(?<![0-9A-Za-z_/.@%+-])[0-9][0-9.,eE+-]*")


def is_numbered(name: str) -> bool:
    """Return whether a metric's name has a number by itself, as `top 5 acc`."""
    return NUMBER.search(name.encode()) is not None


@cache
def _step() -> re.Pattern[str]:
    return re.compile(_STEP)


def decode(line: bytes) -> str:
    """Return a line's visible text: colours and controls removed, bytes that are not UTF-8 replaced."""
    return clean(line.decode("utf-8", "replace"))


@lru_cache(maxsize=8)  # the primary metrics of the runs at work
def literally(primary: str) -> re.Pattern[str] | None:
    """Return what finds a primary metric whose name is not one word; None if it is one."""
    if not primary or re.fullmatch(_ONE_WORD, primary):
        return None
    return re.compile(rf"(?<![{_IN_NAMES}]){re.escape(primary)}(?![\w/@%+-]|\.\w)")


def compile_regex(text: str) -> re.Pattern[str]:
    """Compile the session's pattern. Raises UsageError, with the position, if it cannot be used."""
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"--metric-regex {one_line(text, 120)!r} does not compile: {error}",
            "write a Python regular expression (docs.python.org/3/library/re.html); quote it for the shell",
        ) from None
    if pattern.groups == 0:
        raise UsageError(
            f"--metric-regex {one_line(text, 120)!r} has no group that holds the value",
            r"put the value in parentheses, as in 'final loss (\S+)', or name it: (?P<value>\S+)",
        )
    return pattern


def regex_reports(pattern: re.Pattern[str], line: str, primary: str) -> Iterator[Report]:
    """Yield a report for every match on a line.

    Its value is the group `value`, else the first group; its name is the group `name`, else the primary
    metric's, in one spelling.
    """
    line = line[:REGEX_LINE_MAX]
    value_group = "value" if "value" in pattern.groupindex else 1
    for match in pattern.finditer(line):
        text = match[value_group] or ""
        name = match["name"] if "name" in pattern.groupindex else primary
        if not name or len(name) > NAME_MAX:
            continue
        value, place = number(text), (line, match.start())
        if value is not None:
            yield Report(one_spelling(name), value, place, text.strip())
        elif (why := unread(text)) is not None and text.strip():
            yield Report(one_spelling(name), None, place, why)


def step(place: Place) -> int | None:
    """Return the last step that the line names before the report, else the first one after it, else None.

    None as well for a step beyond STEP_MAX.
    """
    if place is None or isinstance(place, int):
        return place if place is not None and abs(place) <= STEP_MAX else None
    line, position = place
    steps = _steps(line)
    before = bisect_right(steps, position, key=itemgetter(0))
    return steps[max(before - 1, 0)][1] if steps else None


@lru_cache(maxsize=8)  # the metrics of one line ask one after the other
def _steps(line: str) -> list[tuple[int, int]]:
    return [(match.start(), int(match["step"])) for match in _step().finditer(line)]
