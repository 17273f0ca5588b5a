"""Decodes TensorBoard events: their scalars in either encoding, and where a run began again.

Source: tensorflow's event.proto, summary.proto, tensor.proto and types.proto, whose field numbers are used
here.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ardaemon.metrics.formats.protobuf import (
    FIXED32,
    FIXED64,
    LENGTH,
    Buffer,
    ProtobufError,
    double,
    fields,
    float32,
    int64,
    text,
    varint,
)
from ardaemon.metrics.formats.tensors import scalar_of

Scalar = tuple[str, float, int, float]  # tag, value, step, wall time

SHAPES_MAX = 4096  # tags whose events are recognised by their bytes
_SESSION_START = 1  # SessionLog.SessionStatus
_SCALARS = "scalars"  # the plugin's name; other plugins write tensors too
_WALL, _VALUE = struct.Struct("<d"), struct.Struct("<f")


class Event(NamedTuple):
    """The part of an event that is needed here.

    With `restart`, what an earlier writer wrote at `step` and later is void.
    """

    scalars: list[Scalar]
    version: str | None = None
    restart: bool = False
    step: int = 0


class Decoder:
    """Decodes events.

    It remembers their bytes, to be fast with those that differ in time, step and value alone.
    """

    def __init__(self) -> None:
        self._shapes: dict[bytes, str] = {}

    def quick(self, data: bytes) -> Scalar | None:
        """Return the scalar of an event whose other bytes event() has seen before; None for other events."""
        if data[:1] != b"\x09" or len(data) < 15:  # the wall time, its key and eight bytes
            return None
        at = 9
        step = 0
        if data[9] == 0x10:  # the step, a varint; left out where it is 0
            step, at = data[10], 11
            if step >= 0x80:
                try:
                    step, at = varint(data, 10)
                except ProtobufError:
                    return None
                step = int64(step)
        tag = self._shapes.get(data[at:-4])
        if tag is None:
            return None
        return tag, _VALUE.unpack_from(data, len(data) - 4)[0], step, _WALL.unpack_from(data, 1)[0]

    def event(self, data: bytes) -> Event:
        """Decode any event. Raises ProtobufError."""
        wall, step, version, restart = 0.0, 0, None, False
        values: list[tuple[str, float]] = []
        for number, wire_type, value in fields(memoryview(data)):
            if isinstance(value, int):
                step = int64(value) if number == 2 else step
            elif (number, wire_type) == (1, FIXED64):
                wall = double(value)
            elif (number, wire_type) == (3, LENGTH):
                version = text(value)
            elif (number, wire_type) == (5, LENGTH):
                values += _summary(value)
            elif (number, wire_type) == (7, LENGTH):
                restart = _is_start(value)
        if len(values) == 1 and len(self._shapes) < SHAPES_MAX:
            tag = values[0][0]
            self._shapes[_shape(tag)] = tag
        return Event([(tag, value, step, wall) for tag, value in values], version, restart, step)


def _shape(tag: str) -> bytes:
    """Return the bytes between step and value of an event that holds only `tag` with its simple_value."""
    name = tag.encode()
    value = b"\x0a" + _varint(len(name)) + name + b"\x15"
    inner = b"\x0a" + _varint(len(value) + _VALUE.size) + value
    return b"\x2a" + _varint(len(inner) + _VALUE.size) + inner


def _varint(number: int) -> bytes:
    head = bytearray()
    while number >= 0x80:
        head.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*head, number])


def _is_start(session_log: Buffer) -> bool:
    return any(number == 1 and value == _SESSION_START for number, _, value in fields(session_log))


def _summary(data: Buffer) -> list[tuple[str, float]]:
    """Return tag and value of each scalar in a Summary."""
    return [scalar for value in _messages(data, 1) if (scalar := _value(value)) is not None]


def _value(data: Buffer) -> tuple[str, float] | None:
    """Decode a Summary.Value; None if it is no scalar.

    Of simple_value and tensor the later one counts (`oneof`).
    """
    tag, plugin, number_read = "", "", None
    for number, wire_type, value in fields(data):
        if isinstance(value, int):
            continue
        if (number, wire_type) == (1, LENGTH):
            tag = text(value)
        elif (number, wire_type) == (2, FIXED32):
            number_read = float32(value)
        elif (number, wire_type) == (8, LENGTH):
            number_read = scalar_of(value)
        elif (number, wire_type) == (9, LENGTH):
            plugin = _plugin(value)
    return (tag, number_read) if number_read is not None and plugin in ("", _SCALARS) else None


def _plugin(metadata: Buffer) -> str:
    """Return SummaryMetadata.plugin_data.plugin_name."""
    return next((text(name) for data in _messages(metadata, 1) for name in _messages(data, 1)), "")


def _messages(data: Buffer, wanted: int) -> Iterator[Buffer]:
    """Yield the values of the field `wanted`, which holds messages or strings."""
    for number, wire_type, value in fields(data):
        if (number, wire_type) == (wanted, LENGTH) and not isinstance(value, int):
            yield value
