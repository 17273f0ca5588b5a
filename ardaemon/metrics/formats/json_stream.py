"""Finds the JSON objects in a text that comes line by line, and goes on behind what is torn. Pure: no I/O.

An object may stand on one line, go over several, or share a line with others; brackets and commas of an array
around them are passed over.
"""

import json
import re
from collections.abc import Iterator

from msgspec import Struct, field

OBJECT_MAX = 1 << 20  # characters of an object over several lines, as of one line (growing.LINE_MAX)
_BETWEEN = re.compile(r"[\s,\[\]\ufeff\0]*")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|["{}\[\]]')
_CLOSED = {"}": "{", "]": "["}


class Torn(Struct, frozen=True):
    """A text that is no object, and why; `is_object` says that one begins there."""

    text: str
    why: str
    is_object: bool


class JsonStream(Struct):
    """Takes lines, and gives the objects that end in them."""

    _held: list[str] = field(default_factory=list)  # the lines of an object that goes on
    _open: list[str] = field(default_factory=list)  # its brackets that are open
    _size: int = 0

    def feed(self, line: str) -> Iterator[dict[str, object] | Torn]:
        """Yield the objects that end on this line, in order."""
        if self._held and self._is_anew(line):
            yield from self.end()
        if not self._held and (entry := _whole(line)) is not None:
            yield entry
            return
        rest = line
        while rest:
            if not self._held:
                rest = rest[_BETWEEN.match(rest).end() :]  # type: ignore[union-attr]
                if rest and rest[0] != "{":
                    yield Torn(rest, "is no JSON object", is_object=False)
                    return
            if not rest.strip() and not self._held:
                return
            yield from self._taken(rest[: (end := self._end(rest))], end)
            rest = rest[end:] if not self._open else ""

    def end(self) -> Iterator[Torn]:
        """Yield what is left when nothing more comes."""
        if self._held:
            yield Torn(self._held[0], "is an object that does not end", is_object=True)
        self._held, self._open, self._size = [], [], 0

    def _is_anew(self, line: str) -> bool:
        """Return whether an object begins where none may stand: the one before it was torn."""
        return line[:1] == "{" and self._open[-1] == "{" and not self._held[-1].rstrip().endswith(":")

    def _end(self, text: str) -> int:
        """Return the position behind the object that is open or begins here; the text's end if it goes on."""
        for token in _TOKEN.finditer(text):
            sign = token[0]
            if sign in "{[":
                self._open.append(sign)
            elif sign in _CLOSED:
                if self._open[-1:] == [_CLOSED[sign]]:
                    self._open.pop()
                else:  # this is no JSON: parsing it will say so
                    self._open = []
                if not self._open:
                    return token.end()
            elif sign == '"':  # a string that does not end on its line
                self._open = []
                return len(text)
        return len(text)

    def _taken(self, text: str, end: int) -> Iterator[dict[str, object] | Torn]:
        self._size += end
        if self._size <= OBJECT_MAX or not self._held:
            self._held.append(text)
        if self._open:
            return
        whole, size, self._held, self._size = "\n".join(self._held), self._size, [], 0
        if size > OBJECT_MAX:
            yield Torn(
                whole[:OBJECT_MAX], f"is an object of more than {OBJECT_MAX >> 20} MiB", is_object=True
            )
            return
        entry = _whole(whole)
        yield Torn(whole, "is no whole JSON object", is_object=True) if entry is None else entry


def _whole(text: str) -> dict[str, object] | None:
    """Return the object that is the whole text; None if it is none."""
    try:
        entry = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
