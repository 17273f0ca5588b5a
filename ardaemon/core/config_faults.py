"""The faults of a config.toml: on which line, and in words of a person who writes TOML.

Pure; standard library alone."""

import re
from collections.abc import Collection
from itertools import islice
from typing import NamedTuple

from ardaemon.core import toml
from ardaemon.core.text import one_line

FAULTS_MAX = 5  # named in one message; who corrects them asks again
FOUND_MAX = 32  # faults that are looked for: each line costs a look through the file
PLACES_MAX = 16  # lines that look like the one where a key is set, of which each is tried
WHY_MAX = 200  # characters of what is wrong with one setting

# The words of msgspec's errors -> the words of a person who writes TOML.
_TYPES = {
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "array": "a list",
    "bool": "true or false",
    "object": "a table",
    "null": "nothing",
    "date": "a date",
    "datetime": "a date and time",
    "time": "a time",
}
# What tomllib says -> the same, as its reader would say it.
_SYNTAX = {"Cannot overwrite a value": "the setting stands there twice"}
_PATTERN = re.compile(r"`str` matching regex '.*'")
_PLACE = re.compile(r" - at `\$\.\w+(?:\[(\d+)\])?[^`]*`\Z")
_LINE = re.compile(r"\(at line (\d+), column \d+\)")


class Fault(NamedTuple):
    """A fault in config.toml; `line` is None where no line can be named."""

    line: int | None
    why: str

    def __str__(self) -> str:
        return self.why if self.line is None else f"line {self.line}: {self.why}"


class Faults(ValueError):
    """Raised for a text that is no config.toml; it has every fault that was found."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        more = len(faults) - FAULTS_MAX
        least = "at least " if len(faults) == FOUND_MAX else ""
        parts = [*map(str, faults[:FAULTS_MAX]), *([f"and {least}{more} more"] if more > 0 else [])]
        super().__init__("; ".join(parts))


def syntax(why: str, text: str) -> Fault:
    """Return the fault of a text that is no TOML."""
    lines = text.rstrip().split("\n")
    why = why.replace("(at end of document)", f"(at line {len(lines)}, column 1)")
    if (match := _LINE.search(why)) is not None:
        plain = _LINE.sub("", why).strip()
        return Fault(int(match[1]), f"it is no TOML: {_SYNTAX.get(plain, plain)}")
    return Fault(None, why)


def in_words(error: str) -> tuple[bool, str]:
    """Return whether the setting is unknown, and what is wrong in words of people."""
    place = _PLACE.search(error)
    text = _PLACE.sub("", error)
    text = _PATTERN.sub("an absolute path", text).replace(" | null`", "`")
    for word, plain in _TYPES.items():
        text = text.replace(f"`{word}`", plain)
    text = re.sub(r"(>=|<=|>|<) ([\d.]+)", _bound, text)
    text = text.replace("Expected", "expected", 1).replace("Invalid enum value", "there is no such choice:")
    item = f"item {int(place[1]) + 1} of the list: " if place is not None and place[1] else ""
    return "unknown field" in text, one_line(f"{item}{text}", WHY_MAX)


def _bound(match: re.Match[str]) -> str:
    words = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}
    return f"{words[match[1]]} {float(match[2]):g}"


def line_of(text: str, name: str) -> int | None:
    """Return the line on which a top-level key of a TOML text is set, as toml.parse has read it.

    What looks like the key may stand inside a text of several lines: what is before a key is TOML by itself.
    None where the key hides too well.
    """
    head = re.compile(rf"\s*\[*\s*[\"']?{re.escape(name)}[\"']?\s*[=.\]]")
    lines = text.split("\n")
    places = (number for number, line in enumerate(lines, 1) if head.match(line))
    for number in islice(places, PLACES_MAX):
        if _keys("\n".join(lines[: number - 1])) is not None:
            return number
    # It is spelled with escapes, on one line with its value.
    places = (number for number, line in enumerate(lines, 1) if "\\" in line)
    ends = (n for n in islice(places, PLACES_MAX) if name in (_keys("\n".join(lines[:n])) or ()))
    return next(ends, None)


def _keys(text: str) -> Collection[str] | None:
    """Return the top-level keys of a TOML text; None if it is not whole."""
    try:
        return toml.parse(text).keys()
    except ValueError:
        return None
