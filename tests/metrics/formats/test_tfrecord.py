"""The framing: what is sound is read, what is not is told, and a file that grows is read on."""

from pathlib import Path

import google_crc32c
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ardaemon.metrics.formats import tfrecord
from ardaemon.metrics.formats.tfrecord import Records
from tests.metrics.event_files import crc32c, masked, record

RECORDS = st.lists(st.binary(max_size=60), min_size=1, max_size=8)
SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=[1 << 20, 7, 1], ids=lambda size: f"pieces of {size}")
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads of several sizes: a record may lie across any of them."""
    monkeypatch.setattr(tfrecord, "PIECE", request.param)


def test_the_checksum_is_the_castagnoli_one() -> None:
    assert google_crc32c.implementation == "c"
    assert google_crc32c.value(b"123456789") == 0xE3069283 == crc32c(b"123456789")


@given(st.integers(0, 0xFFFFFFFF))
def test_checksums_are_masked_as_the_format_says(checksum: int) -> None:
    assert tfrecord.masked(checksum).to_bytes(4, "little") == masked(checksum)


@pytest.mark.usefixtures("pieces")
@given(written=RECORDS)
@SAME_FOLDER
def test_every_record_is_read(tmp_path: Path, written: list[bytes]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"".join(map(record, written)))
    records = Records(path)
    assert list(records.read()) == written
    assert state(records) == (path.stat().st_size, False, False, 0)


def state(records: Records) -> tuple[int, bool, bool, int]:
    return records.offset, records.torn, records.lost, records.damaged


@pytest.mark.usefixtures("pieces")
@given(written=RECORDS, data=st.data())
@SAME_FOLDER
def test_a_file_cut_anywhere_gives_its_whole_records_and_goes_on(
    tmp_path: Path, written: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path / "file"
    whole = b"".join(map(record, written))
    ends = [len(b"".join(map(record, written[:n]))) for n in range(len(written) + 1)]
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    records = Records(path)
    sound = max(n for n, end in enumerate(ends) if end <= cut)
    assert list(records.read()) == written[:sound]
    assert state(records) == (ends[sound], cut not in ends, False, 0)
    path.write_bytes(whole)
    assert list(records.read()) == written[sound:]
    assert state(records) == (len(whole), False, False, 0)


@pytest.mark.usefixtures("pieces")
@given(written=RECORDS, data=st.data())
@SAME_FOLDER
def test_a_changed_byte_is_always_noticed(tmp_path: Path, written: list[bytes], data: st.DataObject) -> None:
    path = tmp_path / "file"
    whole = bytearray(b"".join(map(record, written)))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    records = Records(path)
    read = list(records.read())
    assert records.lost or records.damaged == 1
    assert len(read) < len(written)
    if not records.lost:
        assert len(read) == len(written) - 1


@given(st.binary(max_size=300))
@SAME_FOLDER
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    records = Records(path)
    assert list(records.read()) == []
    assert records.lost or len(data) < 12


@pytest.mark.usefixtures("pieces")
def test_a_record_too_large_to_be_held_is_checked_and_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecord, "RECORD_MAX", 100)
    monkeypatch.setattr(tfrecord, "PIECE", min(tfrecord.PIECE, 64))
    path = tmp_path / "file"
    large = bytearray(record(b"x" * 1000))
    path.write_bytes(record(b"a") + large + record(b"b"))
    records = Records(path)
    assert list(records.read()) == [b"a", b"b"]
    assert (records.too_large, records.damaged, records.torn) == (1, 0, False)

    large[500] ^= 1
    path.write_bytes(record(b"a") + large + record(b"b"))
    records = Records(path)
    assert list(records.read()) == [b"a", b"b"]
    assert (records.too_large, records.damaged) == (0, 1)


def test_a_large_record_that_is_being_written_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecord, "RECORD_MAX", 100)
    monkeypatch.setattr(tfrecord, "PIECE", 64)
    path = tmp_path / "file"
    whole = record(b"a") + record(b"x" * 1000) + record(b"b")
    path.write_bytes(whole[:600])
    records = Records(path)
    assert list(records.read()) == [b"a"]
    assert (records.torn, records.too_large) == (True, 0)
    path.write_bytes(whole)
    assert list(records.read()) == [b"b"]
    assert (records.torn, records.too_large, records.offset) == (False, 1, len(whole))


def test_a_length_no_disk_holds_takes_no_memory(tmp_path: Path) -> None:
    length = (1 << 60).to_bytes(8, "little")
    path = tmp_path / "file"
    path.write_bytes(record(b"a") + length + masked(crc32c(length)) + b"x" * 50)
    records = Records(path)
    assert list(records.read()) == [b"a"]
    assert records.torn


def test_a_hole_of_zeros_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(record(b"a") + bytes(4096))
    records = Records(path)
    assert list(records.read()) == [b"a"]
    assert (records.lost, records.offset) == (True, len(record(b"a")))


def test_a_last_record_that_arrives_late_is_read_when_it_has(tmp_path: Path) -> None:
    path = tmp_path / "file"
    whole = record(b"abc" * 10)
    path.write_bytes(whole[:20] + bytes(len(whole) - 20))
    records = Records(path)
    assert list(records.read()) == []
    assert records.lost
    path.write_bytes(whole)
    assert list(records.read()) == [b"abc" * 10]
    assert not records.lost


def test_reading_begins_where_it_is_told_to(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(record(b"before") + record(b"ours"))
    assert list(Records(path, len(record(b"before"))).read()) == [b"ours"]


def test_a_file_written_anew_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(record(b"a long one") + record(b"and more"))
    records = Records(path)
    assert len(list(records.read())) == 2
    path.write_bytes(record(b"b"))
    assert list(records.read()) == [b"b"]


def test_what_was_read_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(record(b"a" * 1000))
    records = Records(path)
    assert len(list(records.read())) == 1
    path.write_bytes(bytes(1016) + record(b"b"))  # the first one is gone: who reads it would notice
    assert list(records.read()) == [b"b"]
