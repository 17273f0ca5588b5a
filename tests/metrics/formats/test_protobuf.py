"""The wire format, against an encoder written from the same page."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.metrics.formats import protobuf
from ardaemon.metrics.formats.protobuf import FIXED32, FIXED64, LENGTH, VARINT, ProtobufError, fields
from tests.metrics.wire import encode, key, varint

NUMBERS = st.integers(1, (1 << 29) - 1)
FIELDS = st.lists(
    st.one_of(
        st.tuples(NUMBERS, st.just(VARINT), st.integers(0, (1 << 64) - 1)),
        st.tuples(NUMBERS, st.just(FIXED64), st.binary(min_size=8, max_size=8)),
        st.tuples(NUMBERS, st.just(LENGTH), st.binary(max_size=300)),
        st.tuples(NUMBERS, st.just(FIXED32), st.binary(min_size=4, max_size=4)),
    )
)


@given(FIELDS)
def test_every_field_is_read_as_it_was_written(written: list[tuple[int, int, int | bytes]]) -> None:
    data = b"".join(encode(*field) for field in written)
    assert list(fields(data)) == written
    read = [(n, kind, v if isinstance(v, int) else bytes(v)) for n, kind, v in fields(memoryview(data))]
    assert read == written


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = list(fields(data))
    except ProtobufError:
        return
    assert sum(value_size(value) for _, _, value in found) <= len(data)


def value_size(value: int | bytes | memoryview) -> int:
    return 1 if isinstance(value, int) else len(value)


@given(FIELDS.filter(bool), st.data())
def test_a_message_that_is_cut_within_a_field_is_refused(
    written: list[tuple[int, int, int | bytes]], data: st.DataObject
) -> None:
    last = encode(*written[-1])
    whole = b"".join(encode(*field) for field in written)
    cut = whole[: len(whole) - data.draw(st.integers(1, len(last) - 1))]
    found: list[object] = []
    with pytest.raises(ProtobufError):
        found.extend(fields(cut))
    assert found == written[:-1]


def test_a_slice_of_a_memoryview_shares_its_memory() -> None:
    data = bytearray(encode(1, LENGTH, b"abc"))
    ((_, _, value),) = fields(memoryview(data))
    data[-1] = ord("z")
    assert value == b"abz"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x00\x00", "no field number 0"),
        (varint(1 << 32 | VARINT) + b"\x00", "no field number 536870912"),
        (key(1, 3), "wire type 3"),
        (key(1, 4), "wire type 4"),
        (key(1, 6) + b"1234", "wire type 6"),
        (key(1, VARINT) + b"\x80" * 9, "ends within a varint"),
        (key(1, VARINT) + b"\x80" * 10 + b"\x00", "longer than 10 bytes"),
        (key(1, VARINT) + b"\xff" * 9 + b"\x02", "more than 64 bits"),
        (key(1, LENGTH) + varint(1 << 62), "bytes, 0 are there"),
    ],
)
def test_what_cannot_be_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ProtobufError, match=said):
        list(fields(data))


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers_with_a_sign(number: int) -> None:
    assert protobuf.int64(number & ((1 << 64) - 1)) == number
    assert protobuf.sint64(((number << 1) ^ (number >> 63)) & ((1 << 64) - 1)) == number


@given(st.floats(allow_nan=False), st.floats(allow_nan=False, width=32))
def test_floating_numbers(wide: float, narrow: float) -> None:
    assert protobuf.double(struct.pack("<d", wide)) == wide
    assert protobuf.float32(memoryview(struct.pack("<f", narrow))) == narrow


@given(st.lists(st.integers(0, (1 << 64) - 1)))
def test_packed_numbers(numbers: list[int]) -> None:
    assert list(protobuf.varints(b"".join(map(varint, numbers)))) == numbers


def test_text_and_numbers_of_another_length_are_refused() -> None:
    assert protobuf.text(memoryview("übung".encode())) == "übung"
    with pytest.raises(ProtobufError, match="UTF-8"):
        protobuf.text(b"\xff")
    with pytest.raises(ProtobufError, match="8 bytes, not 4"):
        protobuf.double(b"1234")
    with pytest.raises(ProtobufError, match="4 bytes, not 8"):
        protobuf.float32(b"12345678")
