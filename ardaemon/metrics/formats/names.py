"""Finds the name before a number in plain text, and the qualifier that makes it another metric. Pure.

The name is the last word before the separator. Words of three kinds make it another name: `best` and its like
wherever they stand before the name, `record` and its like directly before it, and `train` and its like where
only numbers, signs, other reports and words such as `set` and `epoch` stand between: `train: loss=0.5`.
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
QUALIFIER = f"(?i:{_OTHERS}|{_SPLITS})"
_QUALIFIER = re.compile(QUALIFIER)
_SPLIT_WORD = re.compile(f"(?i:{_SPLITS})")
# Directly before the name alone: elsewhere they speak of something else.
_CLOSE = re.compile(
    r"(?<![\w/.@%+:-])(?i:record|reference|ref|sota|oracle|ideal|desired|required|limit|optimum|optimal|median"
    r"|top|bound)[ \t]+$"
)
_COUNTED = "(?:global_?)?(?:step|epoch|iter|iteration|trial|run|fold|seed|round|at)s?"
_OTHER = re.compile(
    rf"(?<![\w/.@%+-])(?P<word>(?i:{_OTHERS}))(?:_(?P<of>(?i:{_COUNTED}|so_far))|_\w+(?=[ \t]*[:=]))?"
    r"\.?(?![\w@%+-]|[/.]\w)"
)
_SPLIT = re.compile(
    rf"(?<![\w/.@%+:-])(?P<word>(?i:{_SPLITS}))(?:_(?:\d+|avg|mean|average|total|epoch|step|set))?(?:['’]s)?(?![\w@%+-]|[/.(]\w|\(\)|['’]\w"
    r"|[ \t]++(?i:time|speed|took)(?!\w))"
)
# `after training: ...` speaks of the time, no part of the data.
_TIME = re.compile(r"(?:^|[^\w])(?i:after|before|during|of|since|in|start|started|begin|end)[ \t]+$")
_ING = re.compile(r"(?i:training|testing|validation|evaluation)$")
# What may stand between `train` and a name of that part.
_GLUE = (
    "set|split|data|dataset|subset|phase|batch|avg|average|mean|total|metrics?|results?|stats|summary|after"
    rf"|loop|{_COUNTED}"
)
# `(?>(?:…)*)` and not `(?:…)*+` where a part may give back: before 3.11.5 that matches wrongly (gh-106052).
_BETWEEN = re.compile(
    rf"(?>(?:[^\w]++|(?i:{_GLUE})(?!\w)|\d[\w.,/%-]*+"
    r"|[^\W\d][\w/.@%+-]*+(?:[\"'`]*+[ \t]*+[:=][ \t]*+[\"'`]?[+-]?[.\d]|[ \t]++[+-]?\d*\.\d)[\w.,/%:-]*+)*)"
)
_HAS_SPLIT = re.compile(rf"(?:^|[/_.-])(?i:{_SPLITS})(?:[/_.-]|$)")
# A name that counts and measures nothing: `best epoch: 3 val_loss: 0.5` goes on to speak of the best, while
# `max epochs 10, val_loss: 0.5` has said it all.
_BOUND = re.compile(r"(?i:max|min|maximum|minimum|initial|target|goal|threshold)\.?$")
_COUNTER = re.compile(rf"(?i:{_COUNTED})$")
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
_ANY = re.compile(
    rf"(?<![\w/.@%+-])(?i:{_OTHERS}|{_SPLITS}|record|reference|ref|sota|oracle|ideal|desired|required|limit"
    r"|optimum|optimal|median|top|bound)(?![@%+-])"
)
OTHERS_MAX = 4  # qualifiers before one name that are looked at, the last ones
_BEFORE_MAX = 200  # characters before a name in which a qualifier is looked for


def name_before(text: str, begin: int, end: int, primary: str) -> tuple[str, int] | None:
    """Return the name that ends at `end` in `text`, and where it begins; None if none ends there.

    A name begins after `begin`, where the number before it ended. The primary metric's is also known behind
    another process's number without a gap: `10/10val_loss`.
    """
    first = max(begin, end - NAME_MAX - 8)
    before = text[first:end].rstrip(" \t").rstrip("\"'`*↑↓")
    word = _NOT_IN_NAMES.split(before.rpartition(" ")[2])[-1]
    name = word.rstrip(".")  # dotted leaders, `val_loss....: 0.5`, are no part of the name
    at = first + len(before) - len(word)
    if primary and name.endswith(primary) and _is_anothers(name[: -len(primary)], primary):
        return primary, at + len(name) - len(primary)
    return (name, at) if is_name(name) else None


def _is_anothers(before: str, primary: str) -> bool:
    """Return whether what stands before the name without a gap is another process's number or name."""
    return _COUNT.fullmatch(before) is not None or (before != "" and not before.replace(primary, ""))


def is_name(word: str) -> bool:
    return (word[:1].isalpha() or word[:1] == "_") and len(word) <= NAME_MAX


def qualified(text: str, name: str, begin: int, seen: Collection[str]) -> str:
    """Return the name with the qualifier that stands before it on the line, as `best val_loss`.

    `begin` is where the name begins; `seen` has the names that the line has reported so far.
    """
    if not _has_qualifiers(text):
        return name
    before = _message(text, max(begin - _BEFORE_MAX, 0), begin)
    close = _CLOSE.search(before[-24:])
    word = close[0].strip() if close else _other(before, name, seen) or _split(before, name)
    return f"{word} {name}" if word else name


def parted(name: str) -> tuple[str, str]:
    """Return a name's qualifier and the rest: `val loss` is loss behind `val`; "" where it has none."""
    word, _, rest = name.partition(" ")
    return (word, rest) if rest and is_qualifier(word) else ("", name)


def is_qualifier(word: str) -> bool:
    """Return whether a word makes a name behind it that of another metric."""
    return _QUALIFIER.fullmatch(word) is not None


def heading_qualifies(word: str, name: str) -> bool:
    """Return whether a heading makes the names below it those of other metrics: `Best:`, `train:`."""
    return is_qualifier(word) and not says_split(word, name)


def says_split(word: str, name: str) -> bool:
    """Return whether a word names a part of the data, and the metric's name says such a part by itself."""
    return is_split(word) and _HAS_SPLIT.search(name) is not None


def has_part(name: str) -> bool:
    """Return whether a name of several words names a part of the data: `valid_1's l2`."""
    return re.search(rf"(?i)(?<![^\W\d_])(?:{_SPLITS})(?![^\W\d_])", name) is not None


def is_split(word: str) -> bool:
    """Return whether a word names a part of the data."""
    return _SPLIT_WORD.fullmatch(word) is not None


@lru_cache(maxsize=8)  # the names of one line ask one after the other
def _has_qualifiers(line: str) -> bool:
    return _ANY.search(line) is not None


@lru_cache(maxsize=8)
def logged(line: str) -> int:
    """Return where the message begins in a line of a logger's; 0 where it is none."""
    match = _LOGGED.match(line[:_BEFORE_MAX])
    return match.end() if match else 0


def _message(text: str, first: int, begin: int) -> str:
    return text[max(first, min(logged(text), begin)) : begin]


def _other(before: str, name: str, seen: Collection[str]) -> str | None:
    """Return the last word of _OTHERS that speaks of the name."""
    told = set[str]()  # words whose own number stands here: `best_epoch=3 best=0.4`
    for match in reversed(list(_OTHER.finditer(before))[-OTHERS_MAX:]):
        word, between = match["word"], before[match.end() :]
        if _has_number(match, between):
            told.add(word.lower())
        elif (
            word.lower() not in told and not _is_used(before, match, between) and f"{word} {name}" not in seen
        ):
            return word
    return None


def _has_number(match: re.Match[str], between: str) -> bool:
    """Return whether the word has a number of its own: `best: 0.4`; that of an epoch measures nothing."""
    counts = match["of"] is not None and match["of"].lower() != "so_far"
    own = _OWN_NUMBER.match(between) or _NUMBER_BEHIND.match(between)
    return own is not None and not counts


def _is_used(before: str, match: re.Match[str], between: str) -> bool:
    """Return whether the word speaks of something else: minutes, what its brackets hold, another name."""
    if _NOW.search(between) or _closes(before, match):
        return True
    if match["word"].lower() == "min" and _MINUTES.search(before[: match.start()]):
        return True
    following = _NEXT_NAME.match(between)
    if following is None:
        return False
    return _COUNTER.match(following["name"]) is None or _BOUND.match(match["word"]) is not None


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
    found = list(_SPLIT.finditer(before))
    if not found:
        return None
    word, between = found[-1]["word"], before[found[-1].end() :]
    if not between.strip():
        return None if _says(name, word) else word
    if _HAS_SPLIT.search(name) or _BETWEEN.fullmatch(between) is None or _named_in(name, between):
        return None
    if _ING.match(word) and _TIME.search(before[: found[-1].start()]):
        return None
    return word


def _named_in(name: str, between: str) -> bool:
    """Return whether the name was reported before, behind the same word: `train loss 0.9, loss 0.5`."""
    return re.search(rf"(?<![\w/.@%+-]){re.escape(name)}(?![\w/@%+-])", between) is not None


def _says(name: str, word: str) -> bool:
    """Return whether the name names the split itself: `Validation val_loss`, `eval eval/loss`."""
    first = re.match(rf"(?i:{_SPLITS})(?=[/_.-])", name)
    return first is not None and first[0][:3].lower() == word[:3].lower()
