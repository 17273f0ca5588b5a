"""results.tsv: one row per run, whatever was torn; read from its end, however long it is."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ardaemon.core.errors import CorruptState
from ardaemon.core.model import PrimaryResult, Result
from ardaemon.experiment import ledger
from ardaemon.experiment.ledger import COLUMNS, HEADER, ROW_MAX
from tests.support.every import every
from tests.support.folders import bytes_read

LONG = 100_000


def result(number: int, note: str = "") -> Result:
    return Result(
        run_id=f"r{number:04d}",
        expr="261122-lr",
        status="ok",
        verdict="revert",
        valid=True,
        improved_over_best=False,
        primary=PrimaryResult(name="val/loss", value=0.5, direction="min"),
        note=note,
    )


def line(number: int, note: str = "") -> str:
    return ledger.row(result(number, note), "ab" * 32)


def test_a_rerun_of_the_best_is_a_measurement_in_its_row() -> None:
    measured = replace(result(1), measure=True)
    assert ledger.row(measured, "").split("\t")[3] == "measure"
    crashed = replace(measured, status="crash", verdict="crash")
    assert ledger.row(crashed, "").split("\t")[3] == "crash"


def written(folder: Path, rows: int) -> Path:
    path = folder / "results.tsv"
    path.write_bytes(HEADER + b"".join(line(n, "a note").encode() + b"\n" for n in range(1, rows + 1)))
    return path


def ids(path: Path, count: int = LONG * 2) -> list[str]:
    return [row["run_id"] for row in ledger.last(path, count)]


# --- rows ---


def test_a_row_has_the_columns_of_the_design_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "results.tsv"
    ledger.add(path, line(1, "lr 3e-4 → 2e-4"))
    head, row = path.read_text().splitlines()
    assert head == "\t".join(COLUMNS)
    assert len(row.split("\t")) == len(COLUMNS)
    [found] = ledger.last(path, 1)
    assert (found["run_id"], found["primary"], found["note"]) == ("r0001", "0.5", "lr 3e-4 → 2e-4")
    assert found["sha256"] == "ab" * 6
    assert found["delta"] == found["peak_vram_mb"] == found["base"] == ""


def test_a_row_added_twice_stands_there_once(tmp_path: Path) -> None:
    path = tmp_path / "results.tsv"
    for number in (1, 1, 2, 2, 2, 3):
        ledger.add(path, line(number))
    before = path.read_bytes()
    ledger.add(path, line(3))
    assert path.read_bytes() == before
    assert ids(path) == ["r0001", "r0002", "r0003"]


def test_the_longest_row_there_is_fits_the_part_that_repair_looks_at() -> None:
    assert len(line(999_999_999, "🦀" * 200).encode()) + 1 < ROW_MAX


# --- torn ---


def test_a_torn_last_line_is_passed_over_and_cut_off_with_the_next_row(tmp_path: Path) -> None:
    path = written(tmp_path, 2)
    whole = path.read_bytes()
    third = line(3, "x").encode() + b"\n"
    for cut in range(1, len(third)):
        path.write_bytes(whole + third[:cut])
        assert ids(path) == ["r0001", "r0002"]
        ledger.add(path, line(3, "x"))
        assert path.read_bytes() == whole + third, f"torn after {cut} bytes"


@every("size", range(len(HEADER)))
def test_a_torn_header_is_written_anew(tmp_path: Path, size: int) -> None:
    path = tmp_path / "results.tsv"
    path.write_bytes(HEADER[:size])
    assert ledger.last(path, 5) == []
    ledger.add(path, line(1))
    assert path.read_bytes() == HEADER + line(1).encode() + b"\n"


def test_no_file_and_an_empty_one_have_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "results.tsv"
    assert ledger.last(path, 5) == []
    assert ledger.check(path) == b""
    path.touch()
    assert ledger.last(path, 5) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(rows=st.integers(0, 30), cut=st.integers(0, 4000))
def test_a_file_cut_anywhere_keeps_its_whole_rows_and_takes_the_next(
    tmp_path: Path, rows: int, cut: int
) -> None:
    path = written(tmp_path, rows)
    data = path.read_bytes()[:cut]
    path.write_bytes(data)
    kept = max(0, data.count(b"\n") - 1)
    assert ids(path) == [f"r{n:04d}" for n in range(1, kept + 1)]
    ledger.add(path, line(7777))
    assert ids(path) == [*(f"r{n:04d}" for n in range(1, kept + 1)), "r7777"]


# --- not ours ---


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 4096,
        HEADER + b"r0001\t" + b"\0" * 4096,
        b"run_id,ended_at,status\n1,2,3\n",
        b"sep=\t\n" + HEADER,
        HEADER.replace(b"note", b"Note") + b"r0001\n",
        HEADER.replace(b"\n", b"\r\n"),
        b"\xff\xfe" + HEADER,
        b"just some text",
    ],
)
def test_what_is_not_the_ledger_we_wrote_is_corrupt_and_left_as_it_is(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "results.tsv"
    path.write_bytes(data)
    with pytest.raises(CorruptState) as caught:
        ledger.add(path, line(1))
    assert str(path) in caught.value.message
    with pytest.raises(CorruptState):
        ledger.repair(path)
    assert path.read_bytes() == data


# --- long ---


def test_the_last_rows_come_oldest_first_and_never_more_than_there_are(tmp_path: Path) -> None:
    path = written(tmp_path, 10)
    assert ids(path, 3) == ["r0008", "r0009", "r0010"]
    assert len(ids(path, 10)) == len(ids(path, 11)) == len(ids(path, 1000)) == 10
    assert ids(path, 0) == ids(path, -1) == []


@pytest.mark.parametrize("count", [1, 2, 700, 2000, 5000])
def test_rows_that_lie_across_the_blocks_read_are_whole(tmp_path: Path, count: int) -> None:
    path = written(tmp_path, 6000)
    assert path.stat().st_size > ledger.BLOCK * 4
    assert ids(path, count) == [f"r{n:04d}" for n in range(6001 - count, 6001)]


def test_a_row_that_the_first_block_read_holds_in_part_is_read_whole(tmp_path: Path) -> None:
    path = written(tmp_path, 6000)
    count = path.read_bytes()[-ledger.BLOCK :].count(b"\n")
    assert ids(path, count) == [f"r{n:04d}" for n in range(6001 - count, 6001)]


def test_blank_lines_count_as_no_rows_and_cut_none_in_two(tmp_path: Path) -> None:
    path = written(tmp_path, 60)
    rows = path.read_bytes().splitlines(keepends=True)
    for blanks in (3, ledger.ROW_MAX * 2):
        path.write_bytes(b"".join([*rows[:-1], b"\n" * blanks, rows[-1]]))
        assert ids(path, 2) == ["r0059", "r0060"]
        assert ids(path, 59) == [f"r{n:04d}" for n in range(2, 61)]


def test_the_end_of_a_long_ledger_is_read_without_the_rest(tmp_path: Path) -> None:
    """As bytes read, which no load of the machine changes."""
    (tmp_path / "short").mkdir()
    read = []
    for path in (written(tmp_path / "short", 10), written(tmp_path, LONG)):
        bytes_read()
        before = bytes_read()
        assert len(ledger.last(path, 10)) == 10
        ledger.add(path, line(LONG + 1))
        read.append(bytes_read() - before)
    assert os.path.getsize(path) > 4_000_000
    assert read[1] < read[0] + ledger.BLOCK


def test_a_whole_history_is_read_in_time_that_grows_with_its_length_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With small blocks, as a history of a thousand large ones: joined anew at each, it takes a minute."""
    path = written(tmp_path, LONG // 2)
    monkeypatch.setattr(ledger, "BLOCK", 128)
    before = time.process_time()
    assert len(ids(path)) == LONG // 2
    assert time.process_time() - before < 8


def test_a_rebuilt_table_holds_its_rows_and_nothing_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "results.tsv"
    path.write_bytes(b"who wrote this?\n" * 100)
    ledger.rebuild(path, [line(1), line(2)])
    assert path.read_bytes() == HEADER + f"{line(1)}\n{line(2)}\n".encode()
    ledger.rebuild(path, [])
    assert path.read_bytes() == HEADER


@pytest.mark.promise("trust")
def test_of_a_table_without_line_ends_no_more_is_read_than_rows_can_have(tmp_path: Path) -> None:
    path = written(tmp_path, 3)
    with path.open("ab") as file:
        file.truncate(64 << 20)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + line(4).encode() + b"\n")
    before = bytes_read()
    assert ids(path, 1) == ["r0004"]
    assert ids(path, 2)[-1] == "r0004"
    assert bytes_read() - before < 1 << 20


def test_a_table_that_is_a_link_or_far_too_large_is_corrupt(tmp_path: Path) -> None:
    path = written(tmp_path, 1)
    path.rename(tmp_path / "other")
    path.symlink_to("other")
    with pytest.raises(CorruptState, match="it is a link"):
        ledger.check(path)
    path.unlink()
    path.write_bytes(HEADER)
    os.truncate(path, 1 << 40)
    for look in (ledger.check, lambda path: ledger.last(path, 1)):
        with pytest.raises(CorruptState, match="larger than 256 MiB"):
            look(path)
