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
    r"(?:(?:(?:[Dd]evice)?[Aa]rray|Decimal|(?:[a-z]+\.)*[Tt]ensor|(?:np|numpy|jnp|torch|mx)\.\w++)\((?P<list>\[)?+"
    r"|<tf\.\w++:?[^<>\n]{0,200}?\bnumpy=)?"
)
SEPARATOR = r"(?::=|[:=](?!=)|[：＝])"
# Arithmetic and conditions behind the number: a line of source, be it alone. `* (best)` is a remark.
_CODE = (
    r"(?:[ \t]*+\*\*?[ \t]*+(?:[\d.]|\w++[.(\[]|\((?=[\d.+-]|\w++[ \t]*+[-+*/.(\[]))"
    r"|[ \t]++(?://|%)[ \t]*+(?:[\d.(]|\w++[.(\[])|[ \t]++[@/][ \t]*+(?:\(|[^\W\d]\w*+[.(\[])"
    r"|[ \t]++if[ \t].{1,200}?[ \t]else\b)"
)
_ARITHMETIC = "arithmetic"
_NEXT = r"[+-]?(?:[0-9]++(?:[.,_][0-9]++)*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"
_ENDS = r"(?=[ \t]*+(?:$|[,;|│┃)\]}])|[ \t]++[+-]?[.0-9])"
# What may not stand behind a number, and what it is then. The first one that fits is told.
_REASONS = (
    (r"%?[ \t]*+(?:[-=]++>|→|➜|⟶|to\b)[ \t]*+[+-]?[.\d]", "two numbers"),
    (r"[ \t]*+(?:\*|x|×|·)[ \t]*+10(?:\^|\*\*|[ \t]*+[-+−⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹])", "a power of ten"),
    (_CODE, _ARITHMETIC),
    (r",[0-9]", "a decimal comma"),
    (r"/|[ \t]++/[ \t]*+[+-]?[.\d]", "a fraction"),
    (r"[:-][0-9]", "a time or a date"),
    (r"\.++[0-9]|[+'’][0-9]", "two numbers without a gap"),
    (r"\w", "a unit, or a word, without a gap"),
    (rf"[ \t]*+[-–—−~][ \t]*+{_NEXT}{_ENDS}", "two numbers"),
    (r"[ \t][0-9]{3}(?:[.,][0-9]|[ \t][0-9]{3}\b)", "two numbers"),
    (r"[ \t]++\+[ \t]++[\w.]", "a sum"),
    (rf"%?(?:[ \t]*+[,;|│┃])?[ \t]++{_NEXT}(?:%(?!\|))?+{_ENDS}", "two numbers"),
    (r"%[|\w]", "a progress bar"),
    (r"[ \t]++#[ \t]++(?!of\b)[^\W\d]", "a comment, as source has it"),
    (r"[#‰‱^]", "more follows the number"),
)
_END = rf"(?!{'|'.join(pattern for pattern, _ in _REASONS)})"
# A per cent sign may stand within the quotes.
_NUMBER_AS_PRINTED = rf"(?P<quote>[\"'`]?)(?P<value>(?>{NUMBER}))(?:[ ]?%(?=[\"'`]))?(?P=quote)"
VALUE = rf"[ \t]*+{_WRAPPED}{_NUMBER_AS_PRINTED}(?(list)\]){_END}"
_NOTHING = re.compile(r"(?i:null|none|true|false|n/?a|undefined)\b|[-–—?. ]+(?:$|[\s|,;)\]}])|[,{\[(]")
_ELEMENT = rf"(?:(?:np|numpy)\.\w++\({NUMBER}\)|{NUMBER})"
_MANY = re.compile(
    rf"(?:[\w.]*?(?:[Aa]rray|[Tt]ensor)\()?[\[(]++[ \t]*+{_ELEMENT}"
    rf"(?>(?:(?:[ \t]*+,[ \t]*+|[ \t]++){_ELEMENT})*)[ \t]*+,?[ \t]*+[\])]"
)
_BOUND = re.compile(r"<=?[ \t]*+[+-]?[.\d]|>=?[ \t]*+[+-]?[.\d]")
_FROM = re.compile(rf"(?i:from)[ \t]++{NUMBER}")
# A unit of size or time: the next report may have another one.
_UNIT = re.compile(
    r"[ \t]++(?P<unit>[kKMGT]|[kKMGTP]i?[Bb](?:/s)?|[num\u00b5\u03bc]s|s(?:ec(?:ond)?s?)?|min(?:ute)?s?"
    r"|h(?:ou)?rs?|h|days?|million|billion|thousand)(?![\w/]|[ \t]*+[:=]|[ \t]++[+-]?[.\d])"
)
_OTHER_NUMBER = re.compile(rf"(?P<value>{NUMBER})")
# Of an f-string that is printed as source; of `%`.
_FORMAT = re.compile(r"[<>^]?[+-]?\d*,?(?:\.\d+)?[eEfFgGdn%]?\}|%[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]")
_ANY_WRAPPED = re.compile(r"[\w.]*(?:[Aa]rray|[Tt]ensor|[Ff]loat\d*)\(|<(?:tf\.)?Tensor|Parameter containing")


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


def unit_behind(text: str, at: int) -> str | None:
    """Return the unit of size or time that stands behind a number with a gap; None if there is none."""
    match = _UNIT.match(text, at)
    return match["unit"] if match else None


def many(text: str, at: int = 0) -> str | None:
    """Return the last of several numbers in brackets, as of a history; None if there are none."""
    match = _MANY.match(text, at)
    return re.findall(NUMBER, match[0])[-1] if match else None


def unread(text: str) -> str | None:
    """Say why what stands behind a name and its separator is no number; None if it claims to be none."""
    text = text.strip().lstrip("\"'`")
    if not text:
        return "nothing stands behind it"
    seen = one_line(text, SEEN_MAX)
    if many(text) is not None:
        return f"{seen!r} is in brackets: print the number that counts by itself"
    if _NOTHING.match(text) or _FORMAT.match(text):
        return None
    if match := _OTHER_NUMBER.match(text):
        why = _why(text[match.end() :])
        return None if why == _ARITHMETIC else f"{seen!r}: {why}"
    if _ANY_WRAPPED.match(text):
        return f"{seen!r} is no single number"
    if _BOUND.match(text):
        return f"{seen!r} is a bound"
    if _FROM.match(text):
        return f"{seen!r}: two numbers"
    return None if text[0].isalpha() or text[0] in "_<" else f"{seen!r} is no number"


def _why(rest: str) -> str:
    """Say what follows a number that is not accepted."""
    return next((why for pattern, why in _REASONS if re.match(pattern, rest)), "more follows the number")
