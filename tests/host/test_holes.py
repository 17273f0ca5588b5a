"""Holes in files: what is punched takes no disk, and who reads on passes it over."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardaemon.core.layout import Experiment
from ardaemon.core.model import Settings
from ardaemon.experiment import max_log
from ardaemon.host import follow, holes
from ardaemon.shim.clocks import Clocks
from ardaemon.shim.log_limit import LOOK_MIN_S, LOOK_S, LogLimit
from tests.support.disks import mounted

MIB = 1 << 20
BLOCK = holes.BLOCK


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "run.log"
    path.touch()
    return path


def taken(path: Path) -> int:
    """The bytes of disk that a file takes."""
    return path.stat().st_blocks * 512


def numbered(size: int, first: int = 0) -> bytes:
    """Lines of 16 bytes each, all different."""
    return b"".join(b"line %010d\n" % (first + n) for n in range(size // 16))


def test_of_a_log_that_grows_the_head_and_the_tail_are_kept_and_little_else_takes_disk(log: Path) -> None:
    whole, most = numbered(12 * MIB), 2 * MIB
    fd = os.open(log, os.O_RDWR | os.O_APPEND)
    limit = LogLimit(fd, most)
    for at in range(0, len(whole), MIB // 2):
        os.write(fd, whole[at : at + MIB // 2])
        limit.look()
        assert taken(log) <= most
    start, end = holes.gap(fd) or (0, 0)
    os.close(fd)
    text = log.read_bytes()
    assert len(text) == len(whole), "every byte keeps its place"
    assert (text[:start], text[end:]) == (whole[:start], whole[end:])
    assert start >= most // 5, "the head"
    assert len(whole) - end >= most // 2, "the tail"
    assert end == limit.dropped


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3 * MIB), max_size=12), st.integers(MIB, 4 * MIB))
def test_however_a_log_grows_no_more_than_the_limit_stays(
    tmp_path_factory: pytest.TempPathFactory, growth: list[int], most: int
) -> None:
    log = tmp_path_factory.getbasetemp() / "grows"
    fd = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC)
    limit, size = LogLimit(fd, most), 0
    for more in growth:
        size += os.write(fd, b"x" * more)
        assert LOOK_MIN_S <= limit.look() <= LOOK_S
        assert taken(log) <= most + 2 * holes.BLOCK
        if size <= most:
            assert holes.gap(fd) is None, "nothing is dropped while all of it has room"
    os.close(fd)


def test_the_fuller_a_log_is_the_sooner_it_is_looked_at(log: Path) -> None:
    """A job that prints 1 GB/s fills a small disk in the blink of an eye."""
    fd = os.open(log, os.O_RDWR | os.O_APPEND)
    limit = LogLimit(fd, 2048 * MIB)
    assert limit.look() == LOOK_S
    os.truncate(log, 1948 * MIB)
    assert limit.look() == pytest.approx(0.1, rel=0.1)
    os.truncate(log, 2047 * MIB)
    assert limit.look() == LOOK_MIN_S
    os.close(fd)


def test_a_log_that_its_job_has_cut_off_has_the_whole_limit_again(log: Path) -> None:
    fd = os.open(log, os.O_RDWR | os.O_APPEND)
    limit = LogLimit(fd, MIB)
    os.write(fd, bytes(3 * MIB))
    limit.look()
    os.ftruncate(fd, 0)
    os.write(fd, b"x" * (MIB - 1))
    limit.look()
    os.close(fd)
    assert log.read_bytes() == b"x" * (MIB - 1)


@pytest.fixture
def no_holes(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that makes no holes."""
    with mounted(tmp_path, "ramfs"):
        yield tmp_path


def test_where_no_hole_can_be_made_the_log_stays_whole_and_that_is_said(no_holes: Path) -> None:
    fd = os.open(no_holes / "run.log", os.O_RDWR | os.O_APPEND | os.O_CREAT)
    os.write(fd, b"x" * 3 * MIB)
    limit = LogLimit(fd, MIB)
    limit.look()
    os.close(fd)
    assert (no_holes / "run.log").read_bytes() == b"x" * 3 * MIB
    assert limit.trouble == "--max-log cannot be kept: Operation not supported (fallocate on run.log)"
    assert limit.look() > 3600, "it is not tried again"


def test_a_session_says_at_its_start_where_no_hole_can_be_made(no_holes: Path) -> None:
    asked = Settings(seconds=1, max_log=256)
    (said,) = max_log.doubts(Experiment(no_holes), asked)
    assert said == (
        f"--max-log 256MiB cannot be kept: the file system of {no_holes} gives no part of a file back"
        " (Operation not supported); the logs there have no limit"
    )
    assert list(no_holes.iterdir()) == []


def test_a_session_is_silent_where_holes_can_be_made(tmp_path: Path) -> None:
    assert max_log.doubts(Experiment(tmp_path), Settings(seconds=1, max_log=256)) == ()
    assert max_log.doubts(Experiment(tmp_path / "gone"), Settings(seconds=1)) == ()
    assert list(tmp_path.iterdir()) == []


def test_a_hole_is_passed_over_wherever_one_reads_on(log: Path) -> None:
    text = numbered(MIB)
    log.write_bytes(text)
    fd = os.open(log, os.O_RDWR)
    start, end = 4 * holes.BLOCK, 9 * holes.BLOCK
    holes.punch(fd, start, end)
    os.close(fd)
    for offset in range(0, MIB + 999, 999):
        piece = follow.read_at(log, offset)
        begin = end if start <= offset < end else offset
        stop = start if begin < start else MIB
        assert piece == (begin, text[begin : min(begin + follow.CHUNK, stop)])


def test_who_reads_through_a_buffer_may_ask_for_the_gap_first(log: Path) -> None:
    log.write_bytes(numbered(MIB))
    fd = os.open(log, os.O_RDWR)
    holes.punch(fd, BLOCK, 2 * BLOCK)
    os.close(fd)
    with log.open("rb") as file:
        assert holes.gap(file.fileno()) == (BLOCK, 2 * BLOCK)
        file.seek(0)
        assert file.read(16) == b"line 0000000000\n"


def test_a_hole_at_the_end_is_no_piece_and_no_gap(log: Path) -> None:
    log.write_bytes(b"x" * holes.BLOCK)
    os.truncate(log, 1 << 40)
    assert follow.read_at(log, holes.BLOCK) == (holes.BLOCK, b"")
    fd = os.open(log, os.O_RDONLY)
    assert holes.gap(fd) is None
    os.close(fd)


def test_the_search_for_ready_goes_on_after_what_was_dropped(log: Path) -> None:
    """A job that prints faster than it is searched: the search would read the hole for hours."""
    fd = os.open(log, os.O_RDWR | os.O_APPEND)
    os.write(fd, b"x" * 40 * MIB + b"\nready\n")
    limit = LogLimit(fd, MIB)
    limit.look()
    spec = {"limit": 9.0, "stall": None, "startup": 99.0, "ready_regex": "^ready$"}
    clocks = Clocks(spec, time.monotonic(), fd, str(log.parent))
    clocks.pass_over(limit.dropped)
    for _ in range(2):
        assert clocks.overdue(time.monotonic()) is None
    os.close(fd)
    assert clocks.ready_after is not None
