"""Reads objects that a script prints, on one line or several: JSON, dicts, `Result(loss=0.5)`. Pure.

A value of an object in an object is named by the keys that lead to it, as the jsonl backend names it:
{"ema": {"val_loss": 0.9}} is ema/val_loss. What stands in a list has no name.
"""

import json
import re
from contextlib import suppress
from typing import NamedTuple

from ardaemon.core.config import NAME_MAX
from ardaemon.core.text import one_line
from ardaemon.metrics.formats import numbers
from ardaemon.metrics.formats.json_numbers import OBJECT_DEPTH_MAX
from ardaemon.metrics.formats.prefix import Prefix

NESTED_MAX = 64  # brackets in brackets; what is nested deeper is not told apart
ASIDE_LINES = 20  # of others that may come in between the lines of an object

# A longer text is looked into; without a limit, one that never ends would cost the line's length squared.
_STRING = r"\"(?:[^\"\\]|\\.){0,4096}+\"|'(?:[^'\\]|\\.){0,4096}+'"
_KEY = rf"(?P<key>{_STRING}|(?<![\w.])[^\W\d][\w/.@%+-]*+)[ \t]*+{numbers.SEPARATOR}"
# An object begins with a key, or at the end of a line; another brace in plain text is none.
_OPEN = re.compile(
    rf"\{{(?=[ \t]*+(?:(?:{_STRING}|[^\W\d]\w*+)[ \t]*+[:=]|\}}|$))"
    r"|(?<![\w.])[^\W\d][\w.]*+\((?=[ \t]*+[^\W\d]\w*+=(?!=)|[ \t]*+$)"
)
_TOKEN = re.compile(rf"{_KEY}|{_STRING}|(?P<open>[{{(\[])|(?P<close>[}})\]])")
_INNER = re.compile(r"[ \t]*+(?:[^\W\d][\w.]*+)?(?P<open>[{(\[])")
_PAIRS = {"{": "}", "(": ")", "[": "]"}
# How a line goes on within an object that an earlier line has opened.
_MEMBER = re.compile(
    r"[ \t]*+(?:[}\])]|[{\[(][ \t]*+(?:$|[\"'{\[(}\]])|(?:" + _STRING + r")[ \t]*+(?:[:,\]})]|$)"
    r"|[+-]?[\d.][\d.eE+-]*+[ \t]*+(?:[,\]})]|$)"
    r"|(?:true|false|null|None|True|False|[Nn]a[Nn]|-?[Ii]nf(?:inity)?)[ \t]*+(?:[,\]})]|$)"
    r"|(?P<named>(?<=[ \t])[^\W\d]\w*+=(?!=)))"
)


class Bracket(NamedTuple):
    """An open bracket: which one closes it, and the key that it is the value of."""

    closes: str
    key: str = ""


class Found(NamedTuple):
    """A key of an object: its name, and where its value stands; `value` is the number's text, or None."""

    name: str
    key_at: int
    value_at: int
    value: str | None


class Objects:
    """Reads the objects of one line after the other; one may go on over several lines."""

    def __init__(self) -> None:
        self._open: list[Bracket] = []
        self._aside = 0
        self._prefix, self._begin = Prefix(), 0  # what the lines of the object have before them
        self.waiting = ""  # the name of a key at the end of a line, whose value the next line begins with

    @property
    def is_open(self) -> bool:
        """Return whether the last line ended within an object."""
        return bool(self._open)

    @property
    def is_waiting(self) -> bool:
        """Return whether the last line ended with a key, whose value the next line may begin with."""
        return bool(self.waiting)

    def stop_waiting(self) -> None:
        """Expect no value at the beginning of the next line."""
        self.waiting = ""

    def goes_on(self, line: str) -> bool:
        """Return whether the line belongs to an object that an earlier line opened."""
        if not self._open:
            return False
        self._begin = self._prefix.end(line)
        match = _MEMBER.match(line, self._begin)
        named = match is not None and match["named"] is not None and self._open[-1].closes != ")"
        if match is not None and not named and not line.startswith("{"):
            self._aside = 0
            return True
        self._aside, self.waiting = self._aside + 1, ""
        if self._aside > ASIDE_LINES or line.startswith("{", self._begin):
            self._open = []
        return False

    def opens(self, text: str, begin: int) -> re.Match[str] | None:
        """Return where the next object begins in plain text."""
        return _OPEN.search(text, begin)

    def begin(self, match: re.Match[str]) -> int:
        """Enter the object that opens() found, and return the position within it."""
        self._open, self.waiting, self._aside = [Bracket(_PAIRS[match[0][-1]])], "", 0
        self._prefix = Prefix(match.string[: match.start()])
        return match.end()

    def read(self, text: str, begin: int | None = None) -> tuple[list[Found], int]:
        """Return the keys from `begin` to the object's end, and the position behind it.

        Without `begin` the line is one that goes on.
        """
        begin = self._begin if begin is None else begin
        found: list[Found] = []
        if self.waiting and (value := numbers.bare().match(text, begin)):
            found.append(self._number(self.waiting, begin, begin, value))
        self.waiting = ""
        while self._open and (token := _TOKEN.search(text, begin)):
            begin = token.end()
            if token["open"]:
                self._push(token["open"], "")
            elif token["close"]:
                self._pop(token["close"])
            elif token["key"]:
                begin = self._key(text, token, found)
        return found, begin if not self._open else len(text)

    def _key(self, text: str, token: re.Match[str], found: list[Found]) -> int:
        key = _text(token["key"])
        name, at = self._named(key), token.end()
        if value := numbers.bare().match(text, at):
            number = self._number(name, token.start(), at, value)
            found += [number] if name else []
            return value.end()
        if inner := _INNER.match(text, at):
            if name and numbers.many(text, at + len(text[at:]) - len(text[at:].lstrip())) is not None:
                found.append(Found(name, token.start(), at, None))
            self._push(inner["open"], key)
            return inner.end()
        if not text[at:].strip():
            self.waiting = name
        elif name:
            found.append(Found(name, token.start(), at, None))
        return at

    def _number(self, name: str, key_at: int, at: int, value: re.Match[str]) -> Found:
        """Take a number; what a library shows around it, `tensor(`, is closed later."""
        around = value.string[at : value.start("value")]
        if around.count("(") > around.count(")"):
            self._push("(", "")
        return Found(name, key_at, value.start("value"), value["value"])

    def _named(self, key: str) -> str:
        """Return the name of a key here; "" in a list, or too deep."""
        keys = [bracket.key for bracket in self._open if bracket.key]
        in_list = any(bracket.closes == "]" for bracket in self._open)
        name = "/".join([*keys, key])
        return name if not in_list and len(keys) < OBJECT_DEPTH_MAX and len(name) <= NAME_MAX else ""

    def _push(self, bracket: str, key: str) -> None:
        if len(self._open) < NESTED_MAX:
            self._open.append(Bracket(_PAIRS[bracket], key))

    def _pop(self, bracket: str) -> None:
        """Close the innermost bracket of that kind; one that closes nothing, as behind a scalar, is none."""
        if self._open[-1].closes == bracket:
            self._open.pop()


def _text(key: str) -> str:
    """Return a key without its quotes and escapes."""
    if key[0] not in "\"'":
        return key
    if "\\" in key:
        with suppress(ValueError, RecursionError):
            return one_line(str(json.loads(f'"{key[1:-1]}"')), NAME_MAX + 1)
    return key[1:-1]
