"""Finds the number that stands behind a metric's name, or says why what stands there is none. Pure.

Numbers are what Python prints: 1e-4, +0.5, .5, 1_000, 1,234,567, 91.2% (91.2), '0.5', nan, inf, and the
scalars of numpy, torch, JAX, TensorFlow and MLX: tensor(0.5), Array(0.5, dtype=float32). A number that
continues as something else is none: 12:30:45, 2026-11-22, 1.2.3, 3/10, 0,5, 300ms, 0.9 -> 0.8. A unit
directly behind a number is refused because the next line may have another one. null, None, booleans, lists
and words report nothing.
"""

import re
from functools import cache

from ardaemon.core.text import one_line

SEEN_MAX = 60  # characters that are shown of what could not be read

NUMBER = (
    r"[+-]?(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?"
    r"|(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
    r"|(?i:nan|inf(?:inity)?))"
)
# How libraries show a scalar. Of an array, one with a single element is one.
_WRAPPED = (
    r"(?:(?:(?:[Dd]evice)?[Aa]rray|(?:[a-z]+\.)*[Tt]ensor|(?:np|numpy|jnp|torch|mx)\.\w++)\((?P<list>\[)?+"
    r"|<tf\.\w++:?[^<>\n]{0,200}?\bnumpy=)?"
)
SEPARATOR = r"(?:[:=](?!=)|[：＝])"
_ARROW = r"%?[ \t]*+(?:->|=>|→|➜|⟶)[ \t]*+[+-]?[.\d]"
# Arithmetic and conditions behind the number: a line of source, be it alone.
_CODE = r"(?:[ \t]*+\*\*?|[ \t]++(?://?|@|%))[ \t]*+(?:[\d.(]|\w++[.(\[])|[ \t]++if[ \t].{1,200}?[ \t]else\b"
_END = (
    # The number ends here: it does not continue as a word, unit, date, time, fraction or progress bar.
    rf"(?![\w/]|[.,:+-][0-9]|%[|\w]|{_ARROW}|{_CODE})"
)
VALUE = rf"[ \t]*+{_WRAPPED}(?P<quote>[\"'`]?)(?P<value>{NUMBER})(?P=quote)(?(list)\]){_END}"
_NOTHING = re.compile(r"(?i:null|none|true|false|n/?a|undefined)\b|[-–—?. ]+(?:$|[\s|,;)\]}])|[\[{(]")
_OTHER_NUMBER = re.compile(rf"(?P<value>{NUMBER})")
_FORMAT = re.compile(r"[<>^]?[+-]?\d*,?(?:\.\d+)?[eEfFgGdn%]?\}")  # of an f-string that is printed as source
_ANY_WRAPPED = re.compile(r"(?:[\w.]*(?:[Aa]rray|[Tt]ensor|[Ff]loat\d*)\(|<(?:tf\.)?Tensor)")


@cache
def separated() -> re.Pattern[str]:
    """Return the pattern of a separator and the number behind it."""
    return re.compile(SEPARATOR + VALUE)


@cache
def bare() -> re.Pattern[str]:
    """Return the pattern of a number, perhaps in quotes, alone."""
    return re.compile(VALUE)


def as_float(text: str) -> float:
    """Return the value of a text that NUMBER matches."""
    return float(text.replace(",", ""))


def number(text: str) -> float | None:
    """Return the number in `text`, which a percent sign may follow; None if it is none."""
    text = text.strip().removesuffix("%")
    return as_float(text) if re.fullmatch(NUMBER, text) else None


def is_wrapped(text: str, at: int) -> bool:
    """Return whether an array or tensor is shown at a position in the text."""
    return _ANY_WRAPPED.match(text, at) is not None


def unread(text: str) -> str | None:
    """Say why what stands behind a name and its separator is no number; None if it claims to be none."""
    text = text.strip().lstrip("\"'`")
    if not text:
        return "nothing stands behind it"
    if _NOTHING.match(text):
        return None
    if _FORMAT.match(text):
        return None
    seen = one_line(text, SEEN_MAX)
    if match := _OTHER_NUMBER.match(text):
        return None if re.match(_CODE, text[match.end() :]) else f"{seen!r}: {_why(text[match.end() :])}"
    if _ANY_WRAPPED.match(text):
        return f"{seen!r} is no single number"
    return None if text[0].isalpha() or text[0] in "_<" else f"{seen!r} is no number"


def _why(rest: str) -> str:
    """Say what follows a number that is not accepted."""
    for pattern, why in _REASONS:
        if re.match(pattern, rest):
            return why
    return "more follows the number"


_REASONS = (
    (_ARROW, "two numbers"),
    (r",[0-9]", "a decimal comma"),
    (r"[ \t]*/", "a fraction"),
    (r"[:-][0-9]", "a time or a date"),
    (r"\.[0-9]", "two numbers without a gap"),
    (r"[^\W\d_]", "a unit, or a word, without a gap"),
)
