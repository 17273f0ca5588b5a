"""A part of a file as if it were all: what a run has added to a log, what is kept of a log."""

import io
from typing import BinaryIO, cast


class _Part(io.RawIOBase):
    """Reads on from `begin`, up to `end` or the file's end; the rest is as in the file."""

    def __init__(self, file: BinaryIO, begin: int, end: int | None) -> None:
        self._file, self._begin, self._end = file, begin, end
        file.seek(begin)

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a position that counts from `begin`, or from the end."""
        if whence == 2 and self._end is not None:
            whence, offset = 0, offset + self._end - self._begin
        at = offset + self._begin if whence == 0 else self._file.seek(offset, whence)
        return self._file.seek(max(at, self._begin)) - self._begin

    def read(self, size: int = -1, /) -> bytes:
        if self._end is not None:
            left = max(self._end - self._file.tell(), 0)
            size = left if size < 0 else min(size, left)
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()
        super().close()


def from_position(file: BinaryIO, begin: int, end: int | None = None) -> BinaryIO:
    """Return the file as if it began at `begin` and ended at `end`.

    It has no descriptor: holes in it are read as bytes.
    """
    return file if begin == 0 and end is None else cast(BinaryIO, _Part(file, begin, end))
