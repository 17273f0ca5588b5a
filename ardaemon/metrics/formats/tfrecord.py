"""Reads TFRecord files, as TensorBoard's event files are, and checks both checksums of each record.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details

    uint64 length | uint32 masked CRC-32C of the length | data | uint32 masked CRC-32C of the data
"""

import os
import struct
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from ardaemon.core import file_kinds, files

PIECE = 1 << 20  # bytes of one read: some ten thousand scalars
# Bytes of a record that are held in memory. A scalar's record has below a hundred, an image's some hundred
# thousand. A larger one (a video, a graph) is checked piece by piece and passed over.
RECORD_MAX = 8 << 20
_LENGTHS_MAX = 4096  # headers that are remembered as sound: a file of scalars has few different lengths

_HEADER, _FOOTER = 12, 4
_LENGTH, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8
_BITS32 = 0xFFFFFFFF


def masked(checksum: int) -> int:
    """Return a CRC-32C as the format stores it: rotated by 15 bits, and a constant added."""
    return ((checksum >> 15 | checksum << 17) + _MASK_DELTA) & _BITS32


class Records:
    """Reads the records of one file, which may grow: each read() goes on where the last one ended.

    `torn`, `lost` and `damaged` tell of bytes that are no whole, sound record; `too_large` counts sound
    records that were passed over. `between` is called when a piece of so many bytes is read, and all its
    records are taken.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset  # the position where the next record begins
        self.torn = False  # the file ends within a record: it is being written, or its writer was killed
        self.lost = False  # no record begins at `offset`, so that none after it can be found either
        self.damaged = 0  # records whose data do not match their checksum
        self.too_large = 0
        self.between: Callable[[int], None] = lambda _: None
        self._lengths: dict[bytes, int] = {}  # lengths by headers that were sound

    def read(self) -> Iterator[bytes]:
        """Yield the data of each sound record that was added since the last call.

        Raises OSError as open() does.
        """
        with files.opened(self.path, file_kinds.METRICS) as file:
            size = os.fstat(file.fileno()).st_size
            if size < self.offset:  # the file was written anew
                self.offset = self.damaged = self.too_large = 0
            self.torn = self.lost = False
            file.seek(self.offset)
            yield from self._pieces(file, size)
        self.torn = not self.lost and self.offset < size

    def _pieces(self, file: BinaryIO, size: int) -> Iterator[bytes]:
        """Read up to `size`, the file's size at first, so that a fast writer cannot prolong it for ever."""
        data = b""  # from `offset` on
        while not self.lost and (left := size - self.offset - len(data)) > 0:
            piece = file.read(min(max(PIECE, self._whole(data) - len(data)), left))
            if not piece:  # the file was cut while it is read
                return
            data += piece
            used = yield from self._sound(data, size - self.offset)
            self.offset += used
            data = data[used:]
            whole = self._whole(data)
            if whole > RECORD_MAX:
                if self.offset + whole > size:
                    return
                self._pass_over(file, whole)
                data = b""
            self.between(len(piece))

    def _whole(self, data: bytes) -> int:
        """Return how many bytes the record has that begins with `data`; 0 if that is not known."""
        length = self._lengths.get(data[:_HEADER])
        return 0 if length is None else _HEADER + length + _FOOTER

    def _pass_over(self, file: BinaryIO, whole: int) -> None:
        """Check the record at `offset` without holding it in memory, and move on to the next one."""
        file.seek(self.offset + _HEADER)
        checksum, left = 0, whole - _HEADER - _FOOTER
        while left > 0 and (piece := file.read(min(PIECE, left))):
            checksum = google_crc32c.extend(checksum, piece)
            left -= len(piece)
        if left == 0 and file.read(_FOOTER) == _CHECKSUM.pack(masked(checksum)):
            self.too_large += 1
        else:
            self.damaged += 1
        self.offset += whole

    def _sound(self, data: bytes, left: int) -> Generator[bytes, None, int]:
        """Yield the sound records that lie whole in `data`; return where the first one begins that does not.

        `left` is the number of bytes from the beginning of `data` to the end of the file.
        """
        lengths, checksum, stored = self._lengths, google_crc32c.value, _CHECKSUM.unpack_from
        at, size = 0, len(data)
        while at + _HEADER <= size:
            header = data[at : at + _HEADER]
            length = lengths.get(header)
            if length is None:
                length = self._length(header)
                if length is None:
                    return at
            begin = at + _HEADER
            end = begin + length
            if end + _FOOTER > size:
                return at
            record = data[begin:end]
            if masked(checksum(record)) == stored(data, end)[0]:
                yield record
            elif end + _FOOTER == left:  # the file's last record: perhaps not all of it has arrived
                self.lost = True
                return at
            else:
                self.damaged += 1
            at = end + _FOOTER
        return at

    def _length(self, header: bytes) -> int | None:
        """Return the length in a header; if its checksum is wrong, set `lost` and return None."""
        length = header[: _LENGTH.size]
        if masked(google_crc32c.value(length)) != _CHECKSUM.unpack_from(header, _LENGTH.size)[0]:
            self.lost = True
            return None
        if len(self._lengths) >= _LENGTHS_MAX:
            self._lengths.clear()
        self._lengths[header] = int(_LENGTH.unpack(length)[0])
        return self._lengths[header]
