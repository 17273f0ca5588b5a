"""Protobuf messages as bytes, for tests: written from the encoding's own page, not from our reader."""


def varint(number: int) -> bytes:
    """`number`, seven bits a byte, the lowest first; negative ones in 64 bits."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def key(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def encode(number: int, wire_type: int, value: int | bytes) -> bytes:
    """One field."""
    if isinstance(value, int):
        return key(number, wire_type) + varint(value)
    return key(number, wire_type) + (varint(len(value)) if wire_type == 2 else b"") + value
