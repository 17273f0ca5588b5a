"""Reads one array of a JSON file element by element, in bounded memory.

json.loads makes 1.6 GB of a file of 64 MiB, and holds the interpreter's lock until it is done. Here no more
than a window of the text is in memory, and each element is parsed by itself.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

BLOCK = 256 << 10  # bytes of one read
VALUE_MAX = 64 << 10  # characters of one element, or of another value of the object
# Read in some 3 s; of the Trainer's entries, no more fit into a file that is read.
ELEMENTS_MAX = 1_000_000
_SPACE = re.compile(r"[ \t\n\r]*")


def elements(file: BinaryIO, key: str) -> Iterator[Any]:
    """Yield the elements of the array that the JSON object in `file` has under `key`.

    Raises ValueError, which says why, if the text is torn, is no such object, or is beyond a limit: what was
    yielded until then does not count.
    """
    window, found = _Window(file), False
    for name in window.names():
        if name == key and window.next_is("["):
            found = True
            yield from window.elements()
        else:
            window.value()
    if not found:
        raise ValueError(f"has no {key}")


class _Window:
    """The part of the text that is in memory, and the place in it up to which it has been parsed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._text, self._at, self._over = file, "", 0, False
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._json = json.JSONDecoder()

    def names(self) -> Iterator[str]:
        """Yield each key of the object that is the whole text; the caller takes its value."""
        self._take("{")
        more = not self.next_is("}")
        while more:
            name = self.value()
            self._take(":")
            yield str(name)
            more = self._is_followed("}")
        self._take("}")
        if self._next():
            raise ValueError("is torn, or is not JSON")

    def elements(self) -> Iterator[Any]:
        """Yield each element of the array that stands here, and pass over its end."""
        self._take("[")
        more, count = not self.next_is("]"), 0
        while more:
            count += 1
            if count > ELEMENTS_MAX:
                raise ValueError(f"has more than {ELEMENTS_MAX} entries")
            yield self.value()
            more = self._is_followed("]")
        self._take("]")

    def value(self) -> Any:
        """Take the value that stands here."""
        self._next()
        try:
            value, self._at = self._json.raw_decode(self._text, self._at)
        except (ValueError, RecursionError):
            raise ValueError("is torn, or is not JSON") from None
        if self._at == len(self._text) and not self._over:  # it goes on
            raise ValueError(f"has a value of more than {VALUE_MAX >> 10} KiB")
        return value

    def next_is(self, mark: str) -> bool:
        """Return whether `mark` stands here."""
        return self._next() == mark

    def _is_followed(self, end: str) -> bool:
        """Take the comma that stands here; return False if it is the end instead."""
        if self.next_is(end):
            return False
        self._take(",")
        return True

    def _take(self, mark: str) -> None:
        if not self.next_is(mark):
            raise ValueError("is torn, or is not JSON")
        self._at += 1

    def _next(self) -> str:
        """Pass over white space, and return the next character; "" at the end of the text.

        VALUE_MAX characters from there are in the window then, where there are as many.
        """
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._over or len(self._text) - self._at >= VALUE_MAX:
                return self._text[self._at : self._at + 1]
            block = self._file.read(BLOCK)
            self._over = not block
            self._text = self._text[self._at :] + self._characters.decode(block, self._over)
            self._at = 0
