"""A text file that grows, line by line: what was added since the last look."""

import os
from collections.abc import Iterator
from pathlib import Path

# A row with a histogram in it; a longer line is not a row of metrics and is passed over whole.
LINE_MAX = 1 << 20
CHUNK = 1 << 20


class Growing:
    """Reads `path` on from where it was; from the beginning where the file was replaced or cut.

    `lines` are whole ones; a line that is not finished yet is kept until it is, or given by `rest`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0  # where the next line begins
        self._inode = -1
        self._rest = b""
        self._passing = False  # inside a line that is too long

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """What was finished since the last look: position and text, without its end. Raises OSError."""
        with open(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._inode or found.st_size < self.at + len(self._rest):
                self._inode, self.at, self._rest, self._passing = found.st_ino, 0, b"", False
            file.seek(self.at + len(self._rest))
            while chunk := file.read(CHUNK):
                yield from self._take(chunk)

    def _take(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        *whole, rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            at, self.at = self.at, self.at + len(line) + 1
            if not self._passing:
                yield at, line
            self._passing = False
        self._rest = rest
        if self._passing or len(rest) > LINE_MAX:
            self.at, self._rest, self._passing = self.at + len(rest), b"", True

    def rest(self) -> tuple[int, bytes] | None:
        """The last line, where the file does not end with a line's end: a writer that is over left it so."""
        return (self.at, self._rest) if self._rest else None
