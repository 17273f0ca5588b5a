"""A small writer of `.wandb` files: LevelDB's log around protobuf records, as wandb's own lays them out."""

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from ardaemon.metrics.formats.leveldb_log import BLOCK, CHUNK, FIRST, FULL, LAST, MIDDLE

HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)


def log(records: Sequence[bytes], header: bytes = HEADER) -> bytes:
    """The whole file."""
    out = bytearray(header)
    for record in records:
        rest, first = record, True
        while first or rest:
            room = BLOCK - len(out) % BLOCK
            if room < CHUNK.size:
                out += bytes(room)
                continue
            piece, rest = rest[: room - CHUNK.size], rest[room - CHUNK.size :]
            kind = (FIRST if rest else FULL) if first else (MIDDLE if rest else LAST)
            out += chunk(kind, piece)
            first = False
    return bytes(out)


def chunk(kind: int, payload: bytes) -> bytes:
    """One chunk with its checksum."""
    return CHUNK.pack(zlib.crc32(bytes([kind]) + payload), len(payload), kind) + payload


def varint(value: int) -> bytes:
    """A number of at most 64 bits; a negative one as int64 has it."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | float | bytes | str) -> bytes:
    """One field: a varint, a double, or text and messages by their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def item(key: str | Sequence[str], value: Any, typed: bool = False) -> bytes:
    """A HistoryItem or SummaryItem; `typed` as wandb 0.31 writes it."""
    name = field(1, key) if isinstance(key, str) else b"".join(field(2, part) for part in key)
    if not typed:
        return name + field(16, json.dumps(value))
    if value is None:
        return name + field(3, 0)
    if isinstance(value, bool):
        return name + field(4, int(value))
    if isinstance(value, int):
        return name + field(5, value << 1 ^ value >> 63)
    if isinstance(value, float):
        return name + field(6, value)
    return name + (field(7, value) if isinstance(value, str) else field(8, json.dumps(value)))


def history(values: dict[Any, Any], step: int | None = None, typed: bool = False, num: int = 1) -> bytes:
    """A Record with a row; keys that are tuples are nested."""
    items = [
        field(1, item(list(key) if isinstance(key, tuple) else key, value, typed))
        for key, value in values.items()
    ]
    if step is not None:
        items.append(field(1, item("_step", step, typed)))
        items.append(field(2, field(1, step)))
    return field(1, num) + field(2, b"".join(items))


def summary(values: dict[str, Any]) -> bytes:
    """A Record with a part of the summary."""
    return field(3, b"".join(field(1, item(key, value)) for key, value in values.items()))


def defined(step: str, *, name: str = "", glob: str = "") -> bytes:
    """A Record of define_metric()."""
    return field(12, (field(1, name) if name else field(2, glob)) + field(4, step))


def run(run_id: str) -> bytes:
    """A Record with the run's id."""
    return field(17, field(1, run_id) + field(3, "project"))


def exited(code: int) -> bytes:
    """A Record with the exit code."""
    return field(18, field(1, code) if code else b"")
