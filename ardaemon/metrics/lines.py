"""One line of a log as the numbers it reports, pure.

Read are `name: 0.5` and `name=0.5` (several on a line, names bare or quoted), a JSON object, a Python dict as
the Hugging Face Trainer prints it, and a session's own regular expression.

A number is what Python prints: 1e-4, +0.5, .5, 1_000, 1,234,567, 91.2% (91.2), '0.5', tensor(0.5), nan, inf.
Not a number: what goes on as something else: 12:30:45, 2026-11-22, 1.2.3, 3/10, 0,5, 300ms. An attached unit
is refused because the next line may have another one. null, None and booleans report nothing.
"""

import bisect
import json
import re
from collections.abc import Iterator
from functools import cache

from ardaemon.core.errors import UsageError
from ardaemon.core.text import clean, one_line
from ardaemon.metrics.base import NAME_MAX

# Bytes of a line; a longer one is not a report and is passed over whole: half of it could mislead.
LINE_MAX = 64 << 10
# Characters of a line that a session's regex sees: bounds what a slow pattern can cost.
REGEX_LINE_MAX = 4 << 10

Report = tuple[str, float, int | None]  # name, value (nan and infinities as they are), step

_NUMBER = (
    r"[+-]?(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?"
    r"|(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
    r"|(?i:nan|inf(?:inity)?))"
)
# Begins at the beginning of a word: `\b` first is a third faster than a look behind at each character.
_NAME = r"\b(?P<name>[^\W\d](?<![/.@%+-].)[\w/.@%+-]*+)"
_WRAPPED = r"(?:(?:tensor|array|(?:np|numpy|torch)\.\w++)\()?"
_PAIR = (
    _NAME
    + r"[\"'`*]{0,2}(?P<sep>[ \t]*+[:=][ \t]*+)"
    + rf"{_WRAPPED}(?P<quote>[\"'`]?)(?P<value>{_NUMBER})(?P=quote)"
    # The number ends here: no word, unit, second dot, date, time, fraction or progress bar goes on.
    + r"(?![\w/]|[.,:+-][0-9]|%[|\w])"
)
_STEP = (
    r"(?<![/.@%+-])\b(?:global_step|_step|[Ss]tep|STEP|[Ii]teration|[Ii]ter)\b[\"']?[ \t:=#]*+"
    r"(?P<step>[0-9]{1,18})(?![\w.]|,[0-9])"
)
_STEP_NAMES = ("step", "global_step", "_step", "iteration", "iter")


@cache
def _pair() -> re.Pattern[str]:
    return re.compile(_PAIR)


@cache
def _step() -> re.Pattern[str]:
    return re.compile(_STEP)


def decode(line: bytes) -> str:
    """A line's visible text: colours and controls removed, bytes that are not UTF-8 replaced."""
    return clean(line.decode("utf-8", "replace"))


def reports(line: str) -> Iterator[Report]:
    """Every named number on a cleaned line, from left to right."""
    if ":" not in line and "=" not in line:
        return
    text = line.strip()
    if text.startswith("{") and text.endswith("}"):
        found = _json_object(text)
        if found is not None:
            yield from found
            return
        text = _top_level(text[1:-1])
    yield from _pairs(text)


def number(text: str) -> float | None:
    """The number that `text` is, or None; a percent sign may follow it."""
    text = text.strip().removesuffix("%")
    return _float(text) if re.fullmatch(_NUMBER, text) else None


def compile_regex(text: str) -> re.Pattern[str]:
    """The session's pattern; raises UsageError, with the position, where it cannot be used."""
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"--metric-regex {one_line(text, 120)!r} does not compile: {error}",
            "it is a Python regular expression (docs.python.org/3/library/re.html); quote it for the shell",
        ) from None
    if pattern.groups == 0:
        raise UsageError(
            f"--metric-regex {one_line(text, 120)!r} has no group that holds the value",
            r"put the value in parentheses, as in 'final loss (\S+)', or name it: (?P<value>\S+)",
        )
    return pattern


def regex_reports(pattern: re.Pattern[str], line: str, primary: str) -> Iterator[Report]:
    """Every match on a line: group `value` or else the first; group `name`, or else it is the primary."""
    line = line[:REGEX_LINE_MAX]
    steps = _Steps(line)
    value_group = "value" if "value" in pattern.groupindex else 1
    for match in pattern.finditer(line):
        value = number(match[value_group] or "")
        name = match["name"] if "name" in pattern.groupindex else primary
        if value is not None and name and len(name) <= NAME_MAX:
            yield name, value, steps.near(match.start())


def _float(text: str) -> float:
    return float(text.replace(",", ""))


def _pairs(text: str) -> Iterator[Report]:
    steps = _Steps(text)
    for match in _pair().finditer(text):
        # Dotted leaders, `val_loss....: 0.5`, are no part of the name.
        name, separator, value = match["name"].rstrip("."), match["sep"], match["value"]
        # `file.py:80` and `example.org:443` are places, not reports.
        place = separator == ":" and "." in name and value.isdigit()
        if len(name) <= NAME_MAX and not place:
            yield name, _float(value), steps.near(match.start())


def _json_object(text: str) -> list[Report] | None:
    """The top-level numbers of a JSON object; None if the text is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    values = {one_line(key, NAME_MAX + 1): _json_number(value) for key, value in found.items()}
    steps = (values.get(name) for name in _STEP_NAMES)
    step = next((int(value) for value in steps if value is not None and value.is_integer()), None)
    return [(key, value, step) for key, value in values.items() if value is not None and len(key) <= NAME_MAX]


def _json_number(value: object) -> float | None:
    if isinstance(value, str):
        return number(value) if len(value) <= NAME_MAX else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _top_level(body: str) -> str:
    """`body` without what stands in brackets inside it: nested values have no name of their own."""
    kept, depth, start = [], 0, 0
    for bracket in re.finditer(r"[{}\[\]]", body):
        if bracket[0] in "{[":
            if depth == 0:
                kept.append(body[start : bracket.start()])
            depth += 1
        elif depth > 0:
            depth -= 1
            start = bracket.end()
    kept.append(body[start:] if depth == 0 else "")
    return "…".join(kept)


class _Steps:
    """The steps that a line names, looked for only when a number needs one."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._found: list[tuple[int, int]] | None = None

    def near(self, position: int) -> int | None:
        """The last step named up to `position`, else the first one on the line."""
        if self._found is None:
            self._found = [(m.start(), int(m["step"])) for m in _step().finditer(self._line)]
        if not self._found:
            return None
        before = bisect.bisect_right(self._found, position, key=lambda found: found[0])
        return self._found[max(before - 1, 0)][1]
