"""Finds the name before a number in plain text, and the qualifier that makes it another metric. Pure.

The name is the last word before the separator. Words of two kinds make it another name: `best` and its like
wherever they stand before the name, `train` and its like where they stand directly before it or as a label,
`train: loss=0.5`.
"""

import re
from collections.abc import Collection
from functools import lru_cache

from ardaemon.core.config import NAME_MAX

# Another moment's value, or none that was measured.
_OTHERS = (
    "best|lowest|highest|min|minimum|max|maximum|worst|target|goal|threshold|prev|previous|old|initial|baseline"
    "|expected|ema|swa|smoothed"
)
# Another part of the data.
_SPLITS = "train|training|val|valid|validation|eval|evaluation|dev|test|testing|holdout"
_OTHER = re.compile(rf"(?<![\w/.@%+-])(?i:{_OTHERS})\.?(?![\w/@%+-]|\.\w)")
_SPLIT_BEFORE = re.compile(rf"(?<![\w/.@%+:-])(?i:{_SPLITS})[ \t]+$")
_LABEL = re.compile(rf"(?:^|[|;\[({{,])[ \t]*+(?P<word>(?i:{_SPLITS}))(?:[\])]|[ \t]*+[:|>(-])(?![\w\[])")
_HAS_SPLIT = re.compile(rf"(?:^|[/_.-])(?i:{_SPLITS})(?:[/_.-]|$)")
# A name that counts and measures nothing: `best epoch: 3 val_loss: 0.5` goes on to speak of the best, while
# `max epochs 10, val_loss: 0.5` has said it all.
_BOUND = re.compile(r"(?i:max|min|maximum|minimum|initial|target|goal|threshold)\.?$")
_COUNTER = re.compile(r"(?i:(?:global_?)?(?:step|epoch|iter|iteration|trial|run|fold|seed|round|at)s?)$")
_OWN_NUMBER = re.compile(r"[\"'`*]*+[ \t]*+[:=][ \t]*+[\"'`]?[+-]?[.\d]")
_NUMBER_BEHIND = re.compile(r"[ \t]++[+-]?[.\d]")
_NEXT_NAME = re.compile(r"[ \t]+(?P<name>[^\W\d][\w/.@%+-]*)[ \t]*(?:[:=][ \t]*|[ \t])[\"'`]?[+-]?[.\d]")
_MINUTES = re.compile(r"\d[ \t]*$")
_NOW = re.compile(r"\b(?i:current|now|this|latest|last)\b")
# What logging writes before a message: the name of a logger is no qualifier.
_LOGGED = re.compile(
    r"^.*?\b(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|NOTICE|TRACE|SUCCESS)\b(?::[\w.]+:|[\])]?[ \t]*[-:|>]?)"
)
_NOT_IN_NAMES = re.compile(r"[^\w/.@%+-]")
_COUNT = re.compile(r"\d[\d./%]*")
_ANY = re.compile(rf"(?<![\w/.@%+-])(?i:{_OTHERS}|{_SPLITS})(?![\w/@%+-])")
OTHERS_MAX = 4  # qualifiers before one name that are looked at, the last ones
_BEFORE_MAX = 200  # characters before a name in which a qualifier is looked for


def name_before(text: str, begin: int, end: int, primary: str) -> tuple[str, int] | None:
    """Return the name that ends at `end` in `text`, and where it begins; None if none ends there.

    A name begins after `begin`, where the number before it ended. The primary metric's is also known behind
    another process's number without a gap: `10/10val_loss`.
    """
    first = max(begin, end - NAME_MAX - 8)
    before = text[first:end].rstrip(" \t").rstrip("\"'`*")
    word = _NOT_IN_NAMES.split(before)[-1]
    name = word.rstrip(".")  # dotted leaders, `val_loss....: 0.5`, are no part of the name
    at = first + len(before) - len(word)
    if primary and name.endswith(primary) and _COUNT.fullmatch(name[: -len(primary)]):
        return primary, at + len(name) - len(primary)
    return (name, at) if is_name(name) else None


def is_name(word: str) -> bool:
    return (word[:1].isalpha() or word[:1] == "_") and len(word) <= NAME_MAX


def qualified(text: str, name: str, begin: int, seen: Collection[str]) -> str:
    """Return the name with the qualifier that stands before it on the line, as `best val_loss`.

    `begin` is where the name begins; `seen` has the names that the line has reported so far.
    """
    if not _has_qualifiers(text):
        return name
    before = _message(text, max(begin - _BEFORE_MAX, 0), begin)
    word = _other(before, name, seen) or _split(before, name)
    return f"{word} {name}" if word else name


def heading_qualifies(word: str, name: str) -> bool:
    """Return whether a heading makes the names below it those of other metrics: `Best:`, `train:`."""
    return re.fullmatch(f"(?i:{_OTHERS}|{_SPLITS})", word) is not None and not says_split(word, name)


def says_split(word: str, name: str) -> bool:
    """Return whether a word names a part of the data, and the metric's name says such a part by itself."""
    return re.fullmatch(f"(?i:{_SPLITS})", word) is not None and _HAS_SPLIT.search(name) is not None


@lru_cache(maxsize=8)  # the names of one line ask one after the other
def _has_qualifiers(line: str) -> bool:
    return _ANY.search(line) is not None


@lru_cache(maxsize=8)
def _prefix(line: str) -> int:
    logged = _LOGGED.match(line[:_BEFORE_MAX])
    return logged.end() if logged else 0


def _message(text: str, first: int, begin: int) -> str:
    return text[max(first, min(_prefix(text), begin)) : begin]


def _other(before: str, name: str, seen: Collection[str]) -> str | None:
    """Return the last word of _OTHERS that speaks of the name."""
    for match in reversed(list(_OTHER.finditer(before))[-OTHERS_MAX:]):
        word, between = match[0].rstrip("."), before[match.end() :]
        if not _is_used(before, match, between) and f"{word} {name}" not in seen:
            return word
    return None


def _is_used(before: str, match: re.Match[str], between: str) -> bool:
    """Return whether the word speaks of something else: its own number, minutes, what its brackets hold."""
    if (
        _OWN_NUMBER.match(between)
        or _NUMBER_BEHIND.match(between)
        or _NOW.search(between)
        or _closes(before, match)
    ):
        return True
    if match[0].lower() in ("min", "min.") and _MINUTES.search(before[: match.start()]):
        return True
    following = _NEXT_NAME.match(between)
    if following is None:
        return False
    return _COUNTER.match(following["name"]) is None or _BOUND.match(match[0]) is not None


def _closes(before: str, match: re.Match[str]) -> bool:
    """Return whether a bracket around the word ends before the name, and holds more than it: `(best 3)`."""
    around = before[max(match.start() - 1, 0) : match.end() + 1]
    alone = around[:1] in ("[", "(") and around[-1:] in ("]", ")")
    depth = 0
    for bracket in before[match.end() + (1 if alone else 0) :]:
        depth += (bracket in "([{") - (bracket in ")]}")
        if depth < 0:
            return True
    return False


def _split(before: str, name: str) -> str | None:
    """Return the word of _SPLITS that speaks of the name."""
    if match := _SPLIT_BEFORE.search(before[-24:]):
        word = match[0].strip()
        return None if _says(name, word) else word
    if _HAS_SPLIT.search(name):
        return None
    labels = [match for match in _LABEL.finditer(before) if not _OWN_NUMBER.match(before, match.end("word"))]
    return labels[-1]["word"] if labels else None


def _says(name: str, word: str) -> bool:
    """Return whether the name names the split itself: `Validation val_loss`, `eval eval/loss`."""
    first = re.match(rf"(?i:{_SPLITS})(?=[/_.-])", name)
    return first is not None and first[0][:3].lower() == word[:3].lower()
