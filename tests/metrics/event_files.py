"""Event files as bytes, for tests: written from the formats' own pages, not from our reader."""

import struct
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tests.metrics.wire import encode

NAME = "events.out.tfevents.1700000000.host.1.0"
FLOAT, DOUBLE = 1, 2  # DataType


@cache
def _table() -> tuple[int, ...]:
    """CRC-32C (Castagnoli), reflected polynomial 0x82F63B78: RFC 3720, appendix B.4."""
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return tuple(table)


def crc32c(data: bytes) -> int:
    found, table = 0xFFFFFFFF, _table()
    for byte in data:
        found = found >> 8 ^ table[(found ^ byte) & 0xFF]
    return found ^ 0xFFFFFFFF


def masked(checksum: int) -> bytes:
    rotated = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return struct.pack("<I", rotated + 0xA282EAD8 & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(crc32c(length)) + data + masked(crc32c(data))


def event(*parts: bytes, step: int = 0, wall: float = 1.7e9) -> bytes:
    """An Event's bytes; a step of 0 is left out, as proto3 has it."""
    return b"".join([encode(1, 1, struct.pack("<d", wall)), encode(2, 0, step) if step else b"", *parts])


def version(number: int = 2, step: int = 0) -> bytes:
    return event(encode(3, 2, f"brain.Event:{number}".encode()), step=step)


def restart(step: int) -> bytes:
    """SessionLog.START."""
    return event(encode(7, 2, encode(1, 0, 1)), step=step)


def summary(*values: bytes) -> bytes:
    return encode(5, 2, b"".join(encode(1, 2, value) for value in values))


def simple(tag: str, value: float) -> bytes:
    """A Summary.Value with simple_value."""
    return encode(1, 2, tag.encode()) + encode(2, 5, struct.pack("<f", value))


def tensor(tag: str, proto: bytes, plugin: str = "scalars") -> bytes:
    """A Summary.Value with a tensor."""
    metadata = encode(9, 2, encode(1, 2, encode(1, 2, plugin.encode()))) if plugin else b""
    return encode(1, 2, tag.encode()) + encode(8, 2, proto) + metadata


def tensor_proto(dtype: int, *parts: bytes, shape: Iterable[int] = ()) -> bytes:
    sizes = b"".join(encode(2, 2, encode(1, 0, size)) for size in shape)
    return b"".join([encode(1, 0, dtype), encode(2, 2, sizes), *parts])


def scalar(tag: str, value: float, step: int = 0, wall: float = 1.7e9) -> bytes:
    """What SummaryWriter.add_scalar writes."""
    return event(summary(simple(tag, value)), step=step, wall=wall)


def write(path: Path, *events: bytes, head: bytes | None = None) -> Path:
    """An event file; `head` is its first event."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(record(data) for data in (version() if head is None else head, *events)))
    return path


def append(path: Path, *events: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(record(data) for data in events))
