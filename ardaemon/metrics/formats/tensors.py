"""Reads the number of a TensorProto that holds exactly one.

Source: tensorflow's tensor.proto, tensor_shape.proto and types.proto, whose numbers for fields and types are
used here.
"""

import math
import struct

from msgspec import Struct

from ardaemon.metrics.formats.protobuf import LENGTH, Buffer, ProtobufError, fields, int64, varint

_CONTENT = 4  # tensor_content: the numbers as they lie in memory


class _Kind(Struct, frozen=True):
    """The storage of numbers of one type: as `layout` in tensor_content, else in the repeated field `number`.

    With `narrow` the repeated field holds the bits of two bytes as a varint.
    """

    number: int
    layout: str
    narrow: bool = False


_BFLOAT16 = "bfloat16"  # the upper half of a float
_KINDS = {
    1: _Kind(5, "<f"),  # DT_FLOAT
    2: _Kind(6, "<d"),  # DT_DOUBLE
    3: _Kind(7, "<i"),  # DT_INT32
    4: _Kind(7, "<B"),  # DT_UINT8
    5: _Kind(7, "<h"),  # DT_INT16
    6: _Kind(7, "<b"),  # DT_INT8
    9: _Kind(10, "<q"),  # DT_INT64
    10: _Kind(11, "<?"),  # DT_BOOL
    14: _Kind(13, _BFLOAT16, narrow=True),  # DT_BFLOAT16
    17: _Kind(7, "<H"),  # DT_UINT16
    19: _Kind(13, "<e", narrow=True),  # DT_HALF
    22: _Kind(16, "<I"),  # DT_UINT32
    23: _Kind(17, "<Q"),  # DT_UINT64
}


def scalar_of(tensor: Buffer) -> float | None:
    """Return the tensor's number; None if it holds more or fewer, or something else. Raises ProtobufError."""
    kind: _Kind | None = None
    count = 1
    first: dict[int, Buffer | int] = {}  # the first value of each field
    for number, wire_type, value in fields(tensor):
        if number == 1 and isinstance(value, int):
            kind = _KINDS.get(value)
        elif (number, wire_type) == (2, LENGTH) and not isinstance(value, int):
            count = _count(value)
        else:
            first.setdefault(number, value)
    if kind is None or count != 1:
        return None
    content = first.get(_CONTENT, b"")
    if not isinstance(content, int) and len(content) > 0:
        return _unpacked(kind.layout, content)
    return _first(kind, first.get(kind.number, b""))


def _count(shape: Buffer) -> int:
    """Return how many numbers a TensorShapeProto is for; -1 if its rank is unknown."""
    sizes = []
    for number, wire_type, value in fields(shape):
        if (number, wire_type) == (2, LENGTH) and not isinstance(value, int):
            dimension = (v for n, _, v in fields(value) if n == 1 and isinstance(v, int))
            sizes.append(int64(next(dimension, 0)))
        elif number == 3 and value:
            return -1
    return math.prod(sizes)


def _first(kind: _Kind, value: Buffer | int) -> float:
    """Return the first number of a repeated field, packed or not; 0 if it is empty, as TensorFlow has it."""
    if isinstance(value, int):
        number = value
    elif len(value) == 0:
        return 0.0
    elif kind.number in (5, 6):
        return _unpacked(kind.layout, value[: struct.calcsize(kind.layout)])
    else:
        number, _ = varint(value)
    if kind.narrow:
        return _unpacked(kind.layout, struct.pack("<H", number & 0xFFFF))
    return float(number if kind.layout in ("<I", "<Q") else int64(number))


def _unpacked(layout: str, data: Buffer) -> float:
    if layout == _BFLOAT16:
        layout, data = "<f", b"\0\0" + bytes(data)
    if len(data) != struct.calcsize(layout):
        raise ProtobufError(f"a tensor of one number has {len(data)} bytes")
    return float(struct.unpack(layout, data)[0])
