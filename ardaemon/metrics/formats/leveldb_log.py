"""Reads the records of a log in LevelDB's format, as wandb keeps one, from where the last reading stopped.

The file is divided into blocks of 32 KiB, and a block into chunks: CRC-32, length (16 bits), kind, payload. A
record is one chunk (FULL) or several (FIRST, MIDDLE …, LAST). A chunk never crosses the end of a block; zeros
fill the rest. Source: https://github.com/google/leveldb/blob/main/doc/log_format.md. The checksum here is
CRC-32 of IEEE 802.3 over kind and payload, as wandb writes it (core/pkg/leveldb), not the masked CRC-32C.

A damaged block is passed over, as LevelDB does. The last block may still be written, so reading stops at a
fault in it, and the next reading looks there again.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from ardaemon.core import file_kinds, files

BLOCK = 32 << 10
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
CHUNK = struct.Struct("<IHB")  # checksum, length, kind
RECORD_MAX = 32 << 20  # bytes of one record: a row with a large table is some MiB; more is passed over
_PIECE = 32 * BLOCK  # bytes of one read: few system calls, and small beside the memory limit


class LogReader:
    """Reads one file's records; `position` is where the first record begins that was not read to its end."""

    def __init__(self, path: Path, header: int = 0) -> None:
        self.path = path
        self.position = header  # the file's own bytes before the first chunk are part of the first block
        self.damaged = 0  # blocks of which the rest was passed over
        self.too_long = 0  # records beyond RECORD_MAX
        self.cut = 0  # bytes at the end that are no whole record (yet)
        # Called when a block of so many bytes is read, and all its records are taken.
        self.between: Callable[[int], None] = lambda _: None
        self._parts: list[bytes] | None = None  # the record under way

    def records(self) -> Iterator[bytes]:
        """Yield every whole record from `position` on. Raises OSError."""
        self._parts = None
        with files.opened(self.path, file_kinds.METRICS) as file:
            for start, block in _blocks(file, self.position):
                yield from self._in_block(start, block)
                self.between(len(block))
            self.cut = max(file.seek(0, 2) - self.position, 0)

    def _in_block(self, start: int, block: memoryview) -> Iterator[bytes]:
        at = max(self.position - start, 0) if self._parts is None else 0
        size = len(block)
        while at + CHUNK.size <= size:
            checksum, length, kind = CHUNK.unpack_from(block, at)
            end = at + CHUNK.size + length
            # Zeros pass the arithmetic, but no kind is 0.
            if end > size or not FULL <= kind <= LAST or zlib.crc32(block[at + 6 : end]) != checksum:
                self._give_up(start, size)
                return
            record = self._joined(kind, block[at + CHUNK.size : end], start + at)
            at = end
            if self._parts is None:
                self.position = start + at
            if record is not None:
                yield record
        if self._parts is None and size == BLOCK:
            self.position = start + BLOCK  # no chunk begins in the last six bytes

    def _give_up(self, start: int, size: int) -> None:
        """Pass over the rest of a block that is not readable.

        The last block is left: it may become readable.
        """
        if size == BLOCK:
            self.damaged += 1
            self._parts = None
            self.position = start + BLOCK

    def _joined(self, kind: int, payload: memoryview, at: int) -> bytes | None:
        """Add one chunk to the record under way, and return the record if this chunk ends it."""
        if kind in (FULL, FIRST) and self._parts is not None:  # the record under way has no end
            self.damaged += 1
            self._parts = None
        if kind == FULL:
            return bytes(payload)
        if kind == FIRST:
            self._parts, self.position = [], at
        if self._parts is None:  # the record's beginning was damaged or too long
            return None
        self._parts.append(bytes(payload))
        if len(self._parts) * BLOCK > RECORD_MAX:
            self._parts, self.too_long = None, self.too_long + 1
            return None
        if kind != LAST:
            return None
        record, self._parts = b"".join(self._parts), None
        return record


def _blocks(file: BinaryIO, position: int) -> Iterator[tuple[int, memoryview]]:
    """Yield each block, and where it begins, from the block that holds `position` on."""
    start = position - position % BLOCK
    file.seek(start)
    while piece := file.read(_PIECE):
        view = memoryview(piece)
        for at in range(0, len(piece), BLOCK):
            yield start + at, view[at : at + BLOCK]
        start += len(piece)
