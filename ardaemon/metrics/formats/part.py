"""A file from one position on, as if it began there: what a run has added to a log that was there before."""

import io
from typing import BinaryIO, cast


class _Part(io.RawIOBase):
    """Reads on from `begin`; the rest is as in the file."""

    def __init__(self, file: BinaryIO, begin: int) -> None:
        self._file, self._begin = file, begin
        file.seek(begin)

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a position that counts from `begin`, or from the end."""
        at = offset + self._begin if whence == 0 else self._file.seek(offset, whence)
        return self._file.seek(max(at, self._begin)) - self._begin

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()
        super().close()


def from_position(file: BinaryIO, begin: int) -> BinaryIO:
    """Return the file as if it began at `begin`. It has no descriptor: holes in it are read as bytes."""
    return file if begin == 0 else cast(BinaryIO, _Part(file, begin))
