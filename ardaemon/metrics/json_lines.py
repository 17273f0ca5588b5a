"""The jsonl backend: JSON objects one after another, each on a line of its own or over several lines.

So it reads metrics.jsonl, the one object of results.json, and an array of objects. A number in nested objects
is named by their keys: {"val": {"loss": 1}} is val/loss.
"""

import json
from collections.abc import Iterator
from typing import ClassVar

from msgspec import Struct, field

from ardaemon.core.spelling import one_spelling
from ardaemon.core.text import one_line
from ardaemon.metrics.formats.json_numbers import json_number, leaves
from ardaemon.metrics.formats.json_stream import JsonStream, Torn
from ardaemon.metrics.parts import Parts
from ardaemon.metrics.rows import RowsBackend
from ardaemon.metrics.rows_file import Row, step_of, wall_of

SHOWN_MAX = 40  # characters of a value that a reason shows
# Hugging Face's examples write the one with all; so do many scripts at their end.
DEFAULTS = (
    "{run_dir}/**/metrics.jsonl",
    "{run_dir}/**/metrics.json",
    "{run_dir}/**/results.json",
    "{run_dir}/**/all_results.json",
)


class JsonParser(Struct):
    """Parses the objects of one file, each by itself."""

    shows_cut: ClassVar[bool] = True
    is_cell: ClassVar[bool] = False

    primary: str = ""
    bad: int = 0
    _primary: str = ""
    _quoted: str = ""
    _stream: JsonStream = field(default_factory=JsonStream)
    _parts: Parts = field(default_factory=Parts)

    def __post_init__(self) -> None:
        self._primary, self._quoted = one_spelling(self.primary), json.dumps(self.primary)

    def rows(self, line: str) -> Iterator[Row]:
        """Yield the numbers of each object that ends on this line; what is no object is counted."""
        yield from map(self._row, self._stream.feed(line))

    def end(self) -> Iterator[Row]:
        """Yield what is left at the file's end: an object that does not end."""
        yield from map(self._row, self._stream.end())

    def _row(self, entry: dict[str, object] | Torn) -> Row:
        if isinstance(entry, Torn):
            self.bad += 1
            concerned = entry.is_object or self._quoted in entry.text
            return Row({}, unread=entry.why if concerned else None)
        values, unread = {}, None
        for name, found in leaves(entry):
            number = json_number(found)
            if isinstance(number, float):
                values[name] = number
            elif name == self._primary and found is not None:
                unread = f"has {one_line(json.dumps(found)[: 2 * SHOWN_MAX], SHOWN_MAX)}, {number}"
        if self._primary in values:
            unread = unread or self._parts.fault(text for text in entry.values() if isinstance(text, str))
        if unread is not None:
            values.pop(self._primary, None)
        return Row(values, step_of(values), wall_of(values), unread)


JSONL = RowsBackend("jsonl", DEFAULTS, "*.*json*", JsonParser)
