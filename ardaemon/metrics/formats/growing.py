"""Reads a text file that grows, line by line, from where the last reading stopped."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from ardaemon.core import file_kinds, files

# Bytes of a row with a histogram in it. A longer line is no row of metrics and is passed over whole.
LINE_MAX = 1 << 20
CHUNK = 1 << 20


class Reached(Struct, frozen=True):
    """How far a file has been read: up to the line that begins at `at`, and what else is known there."""

    at: int
    begun: int
    too_long: int
    inode: int
    passing: bool


class Growing:
    """Reads on in `path` at each call of lines(); from the beginning if the file was replaced or cut.

    lines() gives whole lines. A line that is not finished yet is kept until it is, or given by rest().
    `between` is called when a piece of so many bytes is read, and all its lines are taken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0  # the position where the next line begins
        self.begun = 0  # how often it was read from the beginning
        self.too_long = 0  # lines that were passed over
        self._inode = -1
        self._rest = b""
        self._passing = False  # inside a line that is too long
        self.between: Callable[[int], None] = lambda _: None

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield position and text, without the line end, of each line finished since the last call.

        Raises OSError.
        """
        with files.opened(self.path, file_kinds.METRICS) as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self.at + len(self._rest):
                self._inode, self.at, self._rest, self._passing = status.st_ino, 0, b"", False
                self.begun += 1
            file.seek(self.at + len(self._rest))
            while chunk := file.read(CHUNK):
                yield from self._take(chunk)
                self.between(len(chunk))

    def _take(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        *whole, rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            at, self.at = self.at, self.at + len(line) + 1
            if not self._passing:
                yield at, line
            self._passing = False
        self._rest = rest
        if self._passing or len(rest) > LINE_MAX:
            self.too_long += not self._passing
            self.at, self._rest, self._passing = self.at + len(rest), b"", True

    def reached(self) -> Reached:
        """Return how far the file is read. The line that is not finished will be read again."""
        return Reached(self.at, self.begun, self.too_long, self._inode, self._passing)

    def go_on(self, reached: Reached) -> None:
        """Go on where an earlier reading of the file was."""
        self.at, self.begun, self.too_long = reached.at, reached.begun, reached.too_long
        self._inode, self._passing = reached.inode, reached.passing

    def rest(self) -> tuple[int, bytes] | None:
        """Return position and text of a last line without a line end, for when the writer has ended."""
        return (self.at, self._rest) if self._rest else None
