"""Records of a LevelDB log: whatever was cut, damaged or is still being written, what is whole is read."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardaemon.metrics.formats import leveldb_log
from ardaemon.metrics.formats.leveldb_log import BLOCK, CHUNK, FIRST, LAST, LogReader
from tests.support.wandb_writer import HEADER, chunk, log

RECORDS = st.lists(
    st.builds(lambda byte, size: bytes([byte]) * size, st.integers(0, 255), st.integers(0, 3 * BLOCK // 2)),
    max_size=12,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "log"


def reader(path: Path, data: bytes) -> LogReader:
    path.write_bytes(data)
    return LogReader(path, len(HEADER))


@given(records=RECORDS)
@settings(max_examples=60, deadline=None)
def test_what_was_written_is_read(path: Path, records: list[bytes]) -> None:
    found = reader(path, log(records))
    assert list(found.records()) == records
    assert (found.damaged, found.too_long, found.cut) == (0, 0, 0)


@pytest.mark.parametrize("left", range(9))
def test_a_record_that_ends_near_a_blocks_end_is_read(path: Path, left: int) -> None:
    """With fewer than seven bytes left no chunk begins; with seven, an empty one does."""
    records = [bytes(BLOCK - len(HEADER) - CHUNK.size - left), b"next", b"", b"last"]
    assert list(reader(path, log(records)).records()) == records


@given(records=RECORDS, data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_file_cut_anywhere_gives_its_whole_records(
    path: Path, records: list[bytes], data: st.DataObject
) -> None:
    whole = log(records)
    at = data.draw(st.integers(len(HEADER), len(whole)))
    found = reader(path, whole[:at])
    read = list(found.records())
    assert read == records[: len(read)]
    assert len(log(records[: len(read) + 1])) > at or read == records
    assert found.damaged == 0
    assert found.position + found.cut == at


@given(records=RECORDS, data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_growing_file_is_read_on(path: Path, records: list[bytes], data: st.DataObject) -> None:
    """Whatever the pieces in which it grows, every record comes once."""
    whole = log(records)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=6))
    found, read = reader(path, b""), []
    for at in [*sorted(cuts), len(whole)]:
        path.write_bytes(whole[:at])
        read += list(found.records())
    assert read == records
    assert found.damaged == 0


@given(records=RECORDS, data=st.data())
@settings(max_examples=150, deadline=None)
def test_one_wrong_byte_costs_no_more_than_its_block_and_is_told(
    path: Path, records: list[bytes], data: st.DataObject
) -> None:
    whole = bytearray(log(records))
    if len(whole) == len(HEADER):
        return
    at = data.draw(st.integers(len(HEADER), len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    found = reader(path, bytes(whole))
    read = list(found.records())
    left = iter(records)
    assert all(record in left for record in read), "in order, none that was not written"
    if read != records:
        assert found.damaged or found.cut
    # What lies wholly in other blocks is there.
    begin, safe = len(HEADER), 0
    for count in range(1, len(records) + 1):
        end = len(log(records[:count]))
        safe += end // BLOCK < at // BLOCK or begin // BLOCK > at // BLOCK
        begin = end
    assert len(read) >= safe


def test_after_a_damaged_block_the_rest_of_a_long_record_is_passed_over(path: Path) -> None:
    data = bytearray(log([b"a" * 3 * BLOCK, b"b", b"c" * BLOCK, b"d"]))
    data[100] ^= 1
    found = reader(path, bytes(data))
    assert list(found.records()) == [b"b", b"c" * BLOCK, b"d"]
    assert found.damaged == 1


def test_a_record_without_an_end_is_told(path: Path) -> None:
    data = HEADER + chunk(FIRST, b"lost") + chunk(FIRST, b"be") + chunk(LAST, b"gun")
    found = reader(path, data)
    assert list(found.records()) == [b"begun"]
    assert found.damaged == 1


def test_zeros_at_the_end_are_a_hole_not_records(path: Path) -> None:
    """A filesystem that lost its power, or a file made longer ahead of the writing."""
    found = reader(path, log([b"a"]) + bytes(5000))
    assert list(found.records()) == [b"a"]
    assert found.cut == 5000
    found = reader(path, log([b"a"]).ljust(BLOCK, b"\0") + chunk(1, b"b"))
    assert list(found.records()) == [b"a", b"b"]
    assert found.damaged == 1


def test_the_zeros_that_fill_a_block_are_no_part_of_a_record(path: Path) -> None:
    found = reader(path, log([bytes(BLOCK - len(HEADER) - CHUNK.size - 3)]) + bytes(3))
    assert len(list(found.records())) == 1
    assert (found.position, found.cut) == (BLOCK, 0)


def test_a_record_that_is_too_long_is_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leveldb_log, "RECORD_MAX", 4 * BLOCK)
    found = reader(path, log([b"a", b"b" * 9 * BLOCK, b"c"]))
    assert list(found.records()) == [b"a", b"c"]
    assert found.too_long == 1


def test_a_file_shorter_than_before_gives_nothing(path: Path) -> None:
    found = reader(path, log([b"a" * 100]))
    assert len(list(found.records())) == 1
    path.write_bytes(HEADER)
    assert list(found.records()) == []
    assert found.cut == 0
