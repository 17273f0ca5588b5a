"""Reads JSON in which people write comments and commas too many, and tells where each value stands.

Agents' settings are such files. What is changed in one is changed in its text (jsonc_edit.py), so that all of
a person's comments, order and layout stay.
"""

import json
import re
from typing import Any, NamedTuple

DEPTH_MAX = 100  # no settings come near
_BLANK = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_PLAIN = re.compile(r"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")


class Broken(ValueError):
    """Raised where the text is no JSON; `line` counts from 1."""

    def __init__(self, text: str, at: int, why: str) -> None:
        self.line = text.count("\n", 0, at) + 1
        super().__init__(f"line {self.line}: {why}")


class Part(NamedTuple):
    """A value in the text: text[start:end]. `parts` are those in it: by key in an object, by place in a list.

    `commas` are the places of its commas, and `keys` of its keys' first signs.
    """

    start: int
    end: int
    value: Any
    parts: "dict[Any, Part]"
    keys: dict[Any, int]
    commas: list[int]


def parse(text: str) -> Part:
    """Return the one value of a text. Raises Broken."""
    start = _skip(text, 1 if text.startswith("\ufeff") else 0)
    part = _value(text, start, 0)
    end = _skip(text, part.end)
    if end < len(text):
        raise Broken(text, end, "something follows the end")
    return part


def _skip(text: str, at: int) -> int:
    """Return where the blanks and comments from `at` on end."""
    match = _BLANK.match(text, at)
    return match.end() if match is not None else at


def _value(text: str, at: int, depth: int) -> Part:
    if depth > DEPTH_MAX:
        raise Broken(text, at, "it is nested too deep")
    sign = text[at : at + 1]
    if sign in ("{", "["):
        return _container(text, at, depth, "}" if sign == "{" else "]")
    match = _STRING.match(text, at) if sign == '"' else _PLAIN.match(text, at)
    if match is None:
        raise Broken(
            text, at, f"a value is missing before {text[at : at + 10]!r}" if sign else "the end is missing"
        )
    return Part(at, match.end(), _decoded(text, at, match[0]), {}, {}, [])


def _decoded(text: str, at: int, literal: str) -> Any:
    try:
        return json.loads(literal)
    except ValueError as error:
        raise Broken(text, at, "a string or number is no JSON") from error


def _container(text: str, start: int, depth: int, close: str) -> Part:
    parts: dict[Any, Part] = {}
    keys: dict[Any, int] = {}
    commas: list[int] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != close:
        if len(commas) < len(keys):
            raise Broken(text, at, "a comma is missing" if at < len(text) else f"a {close} is missing")
        key, place = _key(text, at) if close == "}" else (len(parts), at)
        if key in keys:
            raise Broken(text, at, f"the key {key!r} is there twice")
        keys[key], parts[key] = at, _value(text, place, depth + 1)
        at = _skip(text, parts[key].end)
        if text[at : at + 1] == ",":
            commas.append(at)
            at = _skip(text, at + 1)
    values = {key: part.value for key, part in parts.items()}
    return Part(start, at + 1, values if close == "}" else list(values.values()), parts, keys, commas)


def _key(text: str, at: int) -> tuple[str, int]:
    """Return a key, and where its value begins."""
    match = _STRING.match(text, at)
    if match is None:
        raise Broken(text, at, "a key is missing" if at < len(text) else "a } is missing")
    colon = _skip(text, match.end())
    if text[colon : colon + 1] != ":":
        raise Broken(text, colon, "a colon is missing")
    return str(_decoded(text, at, match[0])), _skip(text, colon + 1)
