"""Reads Protocol Buffers' wire format without a schema: just enough to find a few numbers in a large message.

Source: https://protobuf.dev/programming-guides/encoding/. Nothing is copied from a memoryview, and nothing
recurses: a message inside a message is a slice, which the caller reads with fields() again or passes over.
"""

import struct
from collections.abc import Iterator

from ardaemon.core.errors import ArdaemonError

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types; no format read here has the groups, 3 and 4

_VARINT_MAX = 10  # bytes: 64 bits by seven
_NUMBER_MAX = (1 << 29) - 1  # a field's number
_BITS64 = (1 << 64) - 1
_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")

Buffer = bytes | memoryview
Field = tuple[int, int, int | Buffer]


class ProtobufError(ArdaemonError):
    """The bytes are no message: they are cut off, damaged, or something else."""


def fields(data: Buffer) -> Iterator[Field]:
    """Yield number, wire type and value of each field in turn.

    The value is an int (0 to 2⁶⁴-1) for a varint, else a slice of `data`: 8 bytes, 4 bytes, or as many as the
    length says. Raises ProtobufError at the first field that cannot be; the fields before it have been
    yielded by then.
    """
    at, size = 0, len(data)
    while at < size:
        key, at = varint(data, at)
        number, wire_type = key >> 3, key & 7
        if not 0 < number <= _NUMBER_MAX:
            raise ProtobufError(f"there is no field number {number}")
        if wire_type == VARINT:
            value, at = varint(data, at)
            yield number, wire_type, value
            continue
        length, at = _length(data, at, wire_type)
        end = at + length
        if end > size:
            raise ProtobufError(f"field {number} has {length} bytes, {size - at} are there")
        yield number, wire_type, data[at:end]
        at = end


def _length(data: Buffer, at: int, wire_type: int) -> tuple[int, int]:
    """Return the value's length in bytes, and where it begins."""
    if wire_type == LENGTH:
        return varint(data, at)
    if wire_type == FIXED32:
        return 4, at
    if wire_type == FIXED64:
        return 8, at
    raise ProtobufError(f"wire type {wire_type} is not read")


def varint(data: Buffer, at: int = 0) -> tuple[int, int]:
    """Return the unsigned 64-bit number at `at`, and the position after it. Raises ProtobufError."""
    size = len(data)
    value = shift = 0
    for position in range(at, min(at + _VARINT_MAX, size)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > _BITS64:
                raise ProtobufError("a varint has more than 64 bits")
            return value, position + 1
        shift += 7
    if at + _VARINT_MAX > size:
        raise ProtobufError("the message ends within a varint")
    raise ProtobufError(f"a varint is longer than {_VARINT_MAX} bytes")


def varints(data: Buffer) -> Iterator[int]:
    """Yield the numbers of a packed repeated field."""
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        yield value


def int64(value: int) -> int:
    """Return a varint as int32, int64 or enum: two's complement in 64 bits."""
    return value - (1 << 64) if value >> 63 else value


def sint64(value: int) -> int:
    """Return a varint as sint32 or sint64: zigzag, in which small numbers of both signs are short."""
    return (value >> 1) ^ -(value & 1)


def double(data: Buffer) -> float:
    """Return the value of a `double`, 8 bytes."""
    if len(data) != _DOUBLE.size:
        raise ProtobufError(f"a double has 8 bytes, not {len(data)}")
    return float(_DOUBLE.unpack(data)[0])


def float32(data: Buffer) -> float:
    """Return the value of a `float`, 4 bytes."""
    if len(data) != _FLOAT.size:
        raise ProtobufError(f"a float has 4 bytes, not {len(data)}")
    return float(_FLOAT.unpack(data)[0])


def text(data: Buffer) -> str:
    """Return the value of a `string`."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise ProtobufError("a string is not UTF-8") from error
