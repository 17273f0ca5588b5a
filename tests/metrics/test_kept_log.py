"""A log of which --max-log has dropped the middle: no value stands in for one that may be gone."""

import os
from pathlib import Path

import pytest

from ardaemon.core.model import Count, Primary
from ardaemon.host import holes
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.log import LogBackend
from ardaemon.metrics.log_follower import LogFollower

BLOCK = holes.BLOCK
GONE = "2 MiB of the log were dropped (--max-log 1MiB)"


def kept(folder: Path, head: bytes, tail: bytes) -> Path:
    """A log of one block before the hole and one after it, with these bytes at its two ends."""
    log, size = folder / "run.log", 34 * BLOCK
    with log.open("wb") as file:
        file.write(head.ljust(BLOCK, b"."))
        file.write(b"loss: 7\n" * (32 * BLOCK // 8))
        file.write(tail.rjust(BLOCK, b"."))
    fd = os.open(log, os.O_RDWR)
    holes.punch(fd, BLOCK, size - BLOCK)
    os.close(fd)
    return log


def read(log: Path, count: Count = "last", limit: float | None = 1.0, regex: str | None = None) -> Readings:
    here = AttemptOutput(log=log, run_folder=log.parent, attempt_folder=log.parent, project=log.parent)
    return LogBackend().read_here(here, Query(Primary("loss"), count=count, max_log=limit, regex=regex))


@pytest.mark.parametrize("regex", [None, r"loss: ([0-9.]+)"])
def test_a_value_in_the_tail_is_the_last_one(tmp_path: Path, regex: str | None) -> None:
    log = kept(tmp_path, b"loss: 1\n", b"\nloss: 0.5\nlr: 2\n")
    readings = read(log, regex=regex)
    assert (readings.value, readings.problem) == (0.5, None)
    assert {name: metric.last for name, metric in readings.metrics.items()} == {"loss": 0.5, "lr": 2.0}
    assert readings.metrics["loss"].best is None, "a better one may be gone"


@pytest.mark.parametrize("regex", [None, r"loss: ([0-9.]+)"])
def test_a_value_before_what_was_dropped_is_not_the_last_one(tmp_path: Path, regex: str | None) -> None:
    readings = read(kept(tmp_path, b"loss: 1\nlr: 3\n", b"\nlr: 2\n"), regex=regex)
    assert (readings.value, readings.settled) == (None, False)
    assert readings.stale is None, "a file of the run that has it may be right: its end is there"
    assert (
        readings.problem
        == f"the last value of loss cannot be read: {GONE}, and the tail that is kept has none"
    )
    assert {name: metric.last for name, metric in readings.metrics.items()} == {"lr": 2.0}


@pytest.mark.parametrize("count", ["best", 5])
def test_what_needs_all_values_has_none_once_some_may_be_gone(tmp_path: Path, count: Count) -> None:
    log = kept(tmp_path, b"step 1 loss: 1\n", b"\nstep 9 loss: 0.5\n")
    readings = read(log, count)
    assert (readings.value, readings.settled) == (None, False)
    assert readings.problem == f"--value {count} needs all values of loss, and {GONE}"


def test_a_last_value_that_is_nan_is_known_and_no_other_source_is_asked(tmp_path: Path) -> None:
    readings = read(kept(tmp_path, b"loss: 1\n", b"\nloss: nan\n"))
    assert (readings.value, readings.settled) == (None, True)


def test_no_line_is_read_that_the_hole_has_cut(tmp_path: Path) -> None:
    """The end of `val_loss: 3` would be another metric, the beginning of `loss: 0.25` another value."""
    log = kept(tmp_path, b"", b"loss: 3\nlr: 1".ljust(BLOCK, b"\n"))
    readings = read(log)
    assert readings.value is None
    assert readings.problem == f"loss was never printed, as far as the log is kept: {GONE}"
    log = kept(tmp_path, b"x\n".ljust(BLOCK - 9, b"\n") + b"loss: 0.2", b"\nlr: 1\n")
    assert read(log).problem == f"loss was never printed, as far as the log is kept: {GONE}"


def test_a_hole_without_a_limit_is_nobodys_and_the_value_before_it_counts(tmp_path: Path) -> None:
    assert read(kept(tmp_path, b"loss: 1\n", b"\nlr: 2\n"), limit=None).value == 1.0


def test_a_tail_that_ends_within_its_last_line_is_known_by_its_place_in_the_log(tmp_path: Path) -> None:
    """A program that was killed wrote in multiples of 4 KiB of the whole log, not of its tail."""
    log = kept(tmp_path, b"", b"\nloss: 0.5\nloss: 0.2")
    assert read(log).problem == "the last value of loss cannot be read: the log ends within it"


def test_who_follows_passes_the_hole_over_and_the_line_after_it(tmp_path: Path) -> None:
    log = kept(tmp_path, b"loss: 1\n", b"\nloss: 0.5\n")
    follower = LogFollower(log, Query(Primary("loss")))
    follower.feed()
    assert follower.latest == 0.5
    log = kept(tmp_path, b"loss: 1\n", b"loss: 3\nlr: 1".ljust(BLOCK, b"\n"))
    follower = LogFollower(log, Query(Primary("loss")))
    follower.feed()
    assert follower.latest == 1.0, "half of a line is no report"


def test_values_around_the_hole_that_are_nan_are_no_two_in_a_row(tmp_path: Path) -> None:
    """A run that prints two in a row is ended (--on-nan): a finite one may have stood between them."""
    follower = LogFollower(kept(tmp_path, b"loss: 1\nloss: nan\n", b"\nloss: nan\n"), Query(Primary("loss")))
    follower.feed()
    assert follower.not_finite.in_a_row == 1
