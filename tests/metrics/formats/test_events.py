"""One event: both encodings of a scalar, and everything that is none."""

import math
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.metrics.formats.events import Decoder
from ardaemon.metrics.formats.protobuf import ProtobufError
from tests.metrics.event_files import (
    DOUBLE,
    FLOAT,
    event,
    restart,
    scalar,
    simple,
    summary,
    tensor,
    tensor_proto,
    version,
)
from tests.metrics.wire import encode, varint
from tests.support.every import every

VALUES = st.floats(width=32, allow_nan=False)
STEPS = st.integers(-(1 << 63), (1 << 63) - 1)
WALLS = st.floats(allow_nan=False)


@given(st.text(max_size=200), st.lists(st.tuples(VALUES, STEPS, WALLS), min_size=1))
def test_a_scalar_is_read_the_first_time_and_ever_after(
    tag: str, written: list[tuple[float, int, float]]
) -> None:
    decoder = Decoder()
    for number, (value, step, wall) in enumerate(written):
        data = scalar(tag, value, step, wall)
        quick = decoder.quick(data)
        assert (quick is None) == (number == 0)
        assert decoder.event(data).scalars == [(tag, value, step, wall)]
        if quick is not None:
            assert quick == (tag, value, step, wall)


@given(st.binary(max_size=80), st.sampled_from(["", "a", "val/loss"]))
def test_any_bytes_are_read_alike_or_refused(data: bytes, tag: str) -> None:
    decoder = Decoder()
    decoder.event(scalar(tag, 1.0))
    decoder.event(scalar(tag, 1.0, 300))
    quick = decoder.quick(data)
    try:
        slow = decoder.event(data).scalars
    except ProtobufError:
        slow = []
    if quick is not None:
        assert [quick] == slow


@given(st.data())
def test_a_scalar_with_changed_bytes_is_never_read_otherwise_by_its_shape(data: st.DataObject) -> None:
    decoder = Decoder()
    written = bytearray(scalar("val/loss", 0.5, data.draw(st.integers(0, 1 << 40))))
    decoder.event(bytes(written))
    for _ in range(data.draw(st.integers(1, 3))):
        written[data.draw(st.integers(0, len(written) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(written[: data.draw(st.integers(0, len(written)))])
    quick = decoder.quick(cut)
    if quick is not None:
        assert repr([quick]) == repr(decoder.event(cut).scalars)  # nan is like nan here


FIRST: list[tuple[str, bytes, float]] = [
    ("float_val", tensor_proto(FLOAT, encode(5, 2, struct.pack("<f", 0.5))), 0.5),
    ("float_val, not packed", tensor_proto(FLOAT, encode(5, 5, struct.pack("<f", 0.5))), 0.5),
    ("double_val", tensor_proto(DOUBLE, encode(6, 2, struct.pack("<d", 0.1))), 0.1),
    ("int_val", tensor_proto(3, encode(7, 2, varint(-7))), -7),
    ("int_val, not packed", tensor_proto(3, encode(7, 0, -7)), -7),
    ("int64_val", tensor_proto(9, encode(10, 2, varint(-(1 << 40)))), -(1 << 40)),
    ("uint64_val", tensor_proto(23, encode(17, 2, varint((1 << 64) - 1))), float((1 << 64) - 1)),
    ("bool_val", tensor_proto(10, encode(11, 2, b"\x01")), 1.0),
    ("half_val", tensor_proto(19, encode(13, 2, varint(0x3800))), 0.5),
    ("bfloat16", tensor_proto(14, encode(13, 2, varint(0x3F00))), 0.5),
    ("content: float", tensor_proto(FLOAT, encode(4, 2, struct.pack("<f", 0.5))), 0.5),
    ("content: double", tensor_proto(DOUBLE, encode(4, 2, struct.pack("<d", 0.1))), 0.1),
    ("content: int64", tensor_proto(9, encode(4, 2, struct.pack("<q", -3))), -3),
    ("content: uint8", tensor_proto(4, encode(4, 2, b"\xff")), 255),
    ("content: half", tensor_proto(19, encode(4, 2, struct.pack("<e", 0.5))), 0.5),
    ("content: bfloat16", tensor_proto(14, encode(4, 2, b"\x00\x3f")), 0.5),
    ("no value: TensorFlow's 0", tensor_proto(FLOAT), 0.0),
    ("a shape of ones", tensor_proto(FLOAT, encode(5, 2, struct.pack("<f", 2.0)), shape=(1, 1)), 2.0),
]


@every("proto, value", [case[1:] for case in FIRST], ids=lambda case: case[0])
def test_a_tensor_of_one_number_is_a_scalar(proto: bytes, value: float) -> None:
    for plugin in ("scalars", ""):
        found = Decoder().event(event(summary(tensor("t", proto, plugin)), step=3))
        assert found.scalars == [("t", value, 3, 1.7e9)]


ONE = encode(5, 2, struct.pack("<f", 1.0))
NONE: list[tuple[str, bytes]] = [
    ("two numbers", tensor("t", tensor_proto(FLOAT, ONE + ONE, shape=(2,)))),
    ("no numbers", tensor("t", tensor_proto(FLOAT, shape=(0,)))),
    ("an unknown shape", tensor("t", encode(1, 0, FLOAT) + encode(2, 2, encode(3, 0, 1)) + ONE)),
    ("text", tensor("t", tensor_proto(7, encode(8, 2, b"hello")))),
    ("a tensor of another plugin", tensor("t", tensor_proto(FLOAT, ONE), plugin="hparams")),
    ("an image", encode(1, 2, b"t") + encode(4, 2, b"\xff" * 100)),
    ("a histogram", encode(1, 2, b"t") + encode(5, 2, b"")),
    ("no value", encode(1, 2, b"t")),
]


@pytest.mark.parametrize("value", [case[1] for case in NONE], ids=[case[0] for case in NONE])
def test_what_is_no_scalar_is_passed_over(value: bytes) -> None:
    found = Decoder().event(event(summary(value, simple("other", 1.0)), step=1))
    assert found.scalars == [("other", 1.0, 1, 1.7e9)]


@pytest.mark.parametrize(
    "broken",
    [
        lambda: event(summary(encode(1, 2, b"\xff"), simple("a", 1.0))),
        lambda: event(summary(tensor("t", tensor_proto(FLOAT, encode(4, 2, b"123"))))),
        lambda: event(summary(tensor("t", tensor_proto(FLOAT, encode(5, 2, b"123"))))),
        lambda: scalar("a", 1.0)[:-1],
        lambda: b"\x09",
    ],
)
def test_a_broken_event_is_refused(broken: Callable[[], bytes]) -> None:
    with pytest.raises(ProtobufError):
        Decoder().event(broken())


def test_version_and_restart() -> None:
    assert Decoder().event(version()).version == "brain.Event:2"
    found = Decoder().event(restart(40))
    assert (found.restart, found.step, found.scalars) == (True, 40, [])
    stop = event(encode(7, 2, encode(1, 0, 2)), step=40)
    assert not Decoder().event(stop).restart


def test_values_that_are_not_finite_are_read_as_such() -> None:
    (_, value, _, _), *_ = Decoder().event(scalar("a", math.inf)).scalars
    assert value == math.inf
    (_, value, _, _), *_ = Decoder().event(scalar("a", math.nan)).scalars
    assert math.isnan(value)
