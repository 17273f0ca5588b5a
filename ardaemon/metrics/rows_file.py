"""One text file with one row per line, and how far it has been read.

A row is some numbers, a step and a time.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ardaemon.metrics.formats.growing import LINE_MAX, Growing, Reached
from ardaemon.metrics.own import Mine

STEP_NAMES = ("step", "global_step", "_step", "iteration", "iter")
WALL_NAMES = ("_timestamp", "timestamp", "wall_time")
# Bytes. Programs that buffer what they write do so in multiples of this: of one that was killed, or that left
# by os._exit(), the file ends there, and its last number may be cut.
WRITTEN_AT_ONCE = 4 << 10
# How files begin that are no text in UTF-8, and what they are.
NO_TEXT = {
    b"\xff\xfe": "in UTF-16: write it in UTF-8",
    b"\xfe\xff": "in UTF-16: write it in UTF-8",
    b"\x1f\x8b": "compressed (gzip): write it as it is",
    b"BZh": "compressed (bzip2): write it as it is",
    b"\xfd7zXZ": "compressed (xz): write it as it is",
    b"\x28\xb5\x2f\xfd": "compressed (zstd): write it as it is",
    b"PK\x03\x04": "a zip archive, as spreadsheets are: write it as text",
    b"PAR1": "in the format Parquet: write it as text",
}


class Row(Struct, frozen=True):
    """The numbers that one line reports, with its step and its time (`wall`, seconds since 1970).

    `unread` says why the line reports the primary metric, or may do so, and its value cannot be read.
    """

    values: dict[str, float]
    step: int | None = None
    wall: float | None = None
    unread: str | None = None


class Parser(Protocol):
    """Reads the lines of one file in their order."""

    bad: int  # lines that cannot be read as rows
    shows_cut: ClassVar[bool]  # a last line that is cut shows it, as an object without its bracket does

    @property
    def is_cell(self) -> bool:
        """Whether the primary metric's name is a cell of a row, where each metric has a row."""

    def rows(self, line: str) -> Iterator[Row]:
        """Yield what the line reports, or what ends with it; nothing for a header."""

    def end(self) -> Iterator[Row]:
        """Yield what is left at the end of the file."""


def step_of(values: dict[str, float]) -> int | None:
    """Return the step that a row names (STEP_NAMES, in upper or lower case); None if it names none."""
    folded = {name.casefold(): value for name, value in values.items()}
    steps = (folded.get(name) for name in STEP_NAMES)
    return next((int(value) for value in steps if value is not None and value.is_integer()), None)


def wall_of(values: dict[str, float]) -> float | None:
    """Return the time that a row names (WALL_NAMES); None if it names none."""
    return next((values[name] for name in WALL_NAMES if name in values), None)


class FileState(Struct, frozen=True):
    """How far one file has been read; `parser` is that of its backend."""

    reached: Reached
    parser: Any
    no_text: str | None
    begun: int
    passed: int
    line: int


class RowsFile:
    """One file of rows, and how far it has been read."""

    def __init__(self, mine: Mine, new_parser: Callable[[], Parser]) -> None:
        self.growing, self.offset = Growing(mine.path), mine.offset
        self.parser, self._new_parser = new_parser(), new_parser
        self.no_text: str | None = None
        self._begun, self._passed, self._line = 1, 0, 0

    def state(self) -> FileState:
        """Return how far it has been read, where all rows of the pieces that were read are taken."""
        reached = self.growing.reached()
        return FileState(reached, self.parser, self.no_text, self._begun, self._passed, self._line)

    def go_on(self, state: FileState) -> None:
        """Go on where an earlier reading was. Raises ValidationError if no parser of this kind was there."""
        self.parser = msgspec.convert(state.parser, type(self.parser), str_keys=True)
        self.growing.go_on(state.reached)
        self.no_text, self._begun = state.no_text, state.begun
        self._passed, self._line = state.passed, state.line

    def rows(self, *, over: bool) -> Iterator[Row]:
        """Yield the new rows that the run itself wrote. Raises OSError.

        Lines from before the launch are parsed too, for the header in them. With `over` the writer has ended,
        so a last line without a line end counts as well.
        """
        for at, line in self.growing.lines():
            yield from self._rows(at, line)
        yield from self._passed_over()
        if over:
            yield from self._last(*(self.growing.rest() or (self.growing.at, b"")))

    def _last(self, at: int, line: bytes) -> Iterator[Row]:
        if line:
            yield from self._rows(at, line)
        if at >= self.offset and self.no_text is None:
            yield from self._told(self.parser.end())
        if line and not self.parser.shows_cut and (at + len(line)) % WRITTEN_AT_ONCE == 0:
            yield Row({}, unread=f"{self._where} may be cut: nothing ends it, and its writer wrote in blocks")

    def _rows(self, at: int, line: bytes) -> Iterator[Row]:
        if self.growing.begun != self._begun:  # the file was replaced
            self.parser, self._begun, self._line = self._new_parser(), self.growing.begun, 0
        if at == 0:
            self.no_text = next((what for begin, what in NO_TEXT.items() if line.startswith(begin)), None)
        yield from self._passed_over()
        for part in line.decode("utf-8", "replace").rstrip("\r").split("\r") if self.no_text is None else ():
            self._line += 1
            for row in self._told(self.parser.rows(part)):
                if at >= self.offset:
                    yield row

    def _passed_over(self) -> Iterator[Row]:
        """Yield a row without a value where a line was passed over since the last call."""
        if self.growing.too_long > self._passed:
            self._passed = self.growing.too_long
            self._line += 1
            yield Row({}, unread=f"{self._where} has more than {LINE_MAX >> 20} MiB, and was passed over")

    def _told(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Say of each row without a value where it stands."""
        for row in rows:
            yield replace(row, unread=f"{self._where} {row.unread}") if row.unread else row

    @property
    def _where(self) -> str:
        return f"line {self._line} of {self.growing.path.name}"
