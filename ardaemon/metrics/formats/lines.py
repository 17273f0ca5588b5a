"""Parses one line of a log into the numbers that it reports. Pure: no I/O.

It reads `name: 0.5` and `name=0.5` (several on a line, names bare or quoted), a JSON object, a Python dict as
the Hugging Face Trainer prints it, and a session's own regular expression.

Numbers are what Python prints: 1e-4, +0.5, .5, 1_000, 1,234,567, 91.2% (91.2), '0.5', tensor(0.5), nan, inf.
A number that continues as something else is none: 12:30:45, 2026-11-22, 1.2.3, 3/10, 0,5, 300ms. A unit
directly behind a number is refused because the next line may have another one. null, None and booleans report
nothing.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, lru_cache
from operator import itemgetter

from ardaemon.core.config import NAME_MAX
from ardaemon.core.errors import UsageError
from ardaemon.core.spelling import one_spelling
from ardaemon.core.text import clean, one_line

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
Report = tuple[str, float, Place]  # name, value (nan and infinities as they are), place

_NUMBER = (
    r"[+-]?(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?"
    r"|(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
    r"|(?i:nan|inf(?:inity)?))"
)
_WRAPPED = r"(?:(?:tensor|array|(?:np|numpy|torch)\.\w++)\()?"
# The search is for the separator, which is rarer than letters; the name is the last word before it.
_VALUE = (
    rf"[:=][ \t]*+{_WRAPPED}(?P<quote>[\"'`]?)(?P<value>{_NUMBER})(?P=quote)"
    # The number ends here: it does not continue as a word, unit, date, time, fraction or progress bar.
    r"(?![\w/]|[.,:+-][0-9]|%[|\w])"
)
_IN_NAMES = r"\w/.@%+-"
_NOT_IN_NAMES = rf"[^{_IN_NAMES}]"
# A name of one word, which is read wherever a number follows it. Any other name, as `lm loss value` or
# `mAP@[0.5:0.95]`, is read if it is the primary metric: a word that no script prints stands in for it.
_ONE_WORD = r"[^\W\d](?:[\w/.@%+-]*[\w/@%+-])?"
_STAND_IN = "theprimarymetricofthisrun"
_STEP = (
    r"(?<![/.@%+-])\b(?:global_step|_step|[Ss]tep|STEP|[Ii]teration|[Ii]ter)\b[\"']?[ \t:=#]*+"
    r"(?P<step>[0-9]{1,18})(?![\w.]|,[0-9])"
)
_STEP_NAMES = ("step", "global_step", "_step", "iteration", "iter")


@cache
def _value() -> re.Pattern[str]:
    return re.compile(_VALUE)


@cache
def _not_in_names() -> re.Pattern[str]:
    return re.compile(_NOT_IN_NAMES)


@cache
def _step() -> re.Pattern[str]:
    return re.compile(_STEP)


def decode(line: bytes) -> str:
    """Return a line's visible text: colours and controls removed, bytes that are not UTF-8 replaced."""
    return clean(line.decode("utf-8", "replace"))


@lru_cache(maxsize=8)  # the primary metrics of the runs at work
def _literally(primary: str) -> re.Pattern[str] | None:
    """Return what finds a primary metric whose name is not one word; None if it is one."""
    if not primary or re.fullmatch(_ONE_WORD, primary):
        return None
    return re.compile(rf"(?<![{_IN_NAMES}]){re.escape(primary)}(?![\w/@%+-]|\.\w)")


def reports(line: str, primary: str = "") -> Iterator[Report]:
    """Yield every named number on a cleaned line, from left to right; names are in one spelling.

    `primary`, in one spelling too, is found whatever it consists of; any other name is one word.
    """
    line = one_spelling(line)
    if ":" not in line and "=" not in line:
        return
    text = line.strip()
    if text.startswith("{") and text.endswith("}"):
        json_reports = _json_object(text)
        if json_reports is not None:
            yield from json_reports
            return
        text = text[1:-1]
        yield from _pairs(_top_level(_with_stand_in(text, primary)), primary)
    else:
        yield from _pairs(_with_stand_in(text, primary), primary)


def _with_stand_in(text: str, primary: str) -> str:
    literally = _literally(primary)
    return text if literally is None else literally.sub(_STAND_IN, text)


def number(text: str) -> float | None:
    """Return the number in `text`, which a percent sign may follow; None if it is none."""
    text = text.strip().removesuffix("%")
    return _float(text) if re.fullmatch(_NUMBER, text) else None


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
        value = number(match[value_group] or "")
        name = match["name"] if "name" in pattern.groupindex else primary
        if value is not None and name and len(name) <= NAME_MAX:
            yield one_spelling(name), value, (line, match.start())


def _float(text: str) -> float:
    return float(text.replace(",", ""))


def _pairs(text: str, primary: str = "") -> Iterator[Report]:
    end = 0
    for match in _value().finditer(text):
        before, value = text[end : match.start()].rstrip(" \t").rstrip("\"'`*"), match["value"]
        end = match.end()
        # Dotted leaders, `val_loss....: 0.5`, are no part of the name.
        name = _not_in_names().split(before)[-1].rstrip(".")
        if _is_name(name) and not _is_place(name, match[0]):
            yield primary if name == _STAND_IN else name, _float(value), (text, match.start())


def _is_name(word: str) -> bool:
    return (word[:1].isalpha() or word[:1] == "_") and len(word) <= NAME_MAX


def _is_place(name: str, rest: str) -> bool:
    """Return whether name and number are a place, as `file.py:80` and `example.org:443`, and no report."""
    return "." in name and rest[0] == ":" and rest[1:].isdigit()


def _json_object(text: str) -> list[Report] | None:
    """Return the top-level numbers of a JSON object; None if the text is no JSON object."""
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    values = {one_spelling(one_line(key, NAME_MAX + 1)): _json_number(value) for key, value in entry.items()}
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
    """Return `body` without the parts in brackets inside it: nested values have no name of their own."""
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
