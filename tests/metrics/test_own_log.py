"""A log that the script writes itself, read as run.log is: `--metrics log --metric-path train.log`."""

import os
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.model import Primary
from ardaemon.metrics.base import Follower, Query, Readings
from ardaemon.metrics.formats.log_reader import ReadLimits
from ardaemon.metrics.log import LogBackend
from ardaemon.metrics.own_log import OwnLogBackend
from ardaemon.metrics.registry import BACKENDS
from tests.support.attempt import Attempt

LOG = "train.log"


@pytest.fixture
def made(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path / "project", tmp_path / "project" / "r0001")


def query(**given: Any) -> Query:
    return Query(Primary("val_loss"), **{"path": LOG, **given})


def read(made: Attempt, **given: Any) -> Readings:
    return BACKENDS["log"].read(made.evidence(), query(**given))


def write(made: Attempt, text: str, name: str = LOG, mode: str = "a") -> None:
    with (made.project / name).open(mode) as file:
        file.write(text)


def test_it_is_read_as_the_log_is(made: Attempt) -> None:
    made.launch(LOG)
    write(made, "INFO:root:step 5 val_loss: 0.5\nINFO:root:acc: 1\n")
    readings = read(made)
    assert (readings.value, readings.counted, readings.source, readings.detail) == (0.5, "last@5", "log", LOG)
    assert readings.metrics["acc"].last == 1.0


@pytest.mark.parametrize("how", ["last", "best"])
@pytest.mark.parametrize("regex", [None, r"val_loss: (\S+)"])
def test_what_an_earlier_run_wrote_into_it_does_not_count(made: Attempt, how: Any, regex: str | None) -> None:
    write(made, "val_loss: 0.1\n" * 99 + "val_loss: 0.")
    made.launch(LOG)
    assert read(made, count=how, regex=regex).value is None
    write(made, "val_loss: 0.9\nval_loss: 0.7\n")
    readings = read(made, count=how, regex=regex)
    assert (readings.value, len(readings.curve)) == (0.7, 2)


def test_of_a_long_one_the_run_s_part_alone_is_searched(made: Attempt) -> None:
    """Backwards too, where the value stands far from its end."""
    write(made, "val_loss: 0.1\n")
    made.launch(LOG)
    log = OwnLogBackend(LogBackend(ReadLimits(tail=4 << 10, block=128 << 10, line=1 << 10)))
    write(made, "nothing\n" * 50_000)
    assert log.read(made.evidence(), query()).value is None
    write(made, "val_loss: 0.7\n" + "nothing\n" * 50_000)
    assert log.read(made.evidence(), query()).value == 0.7


def test_a_file_that_was_written_anew_is_the_run_s(made: Attempt) -> None:
    write(made, "val_loss: 0.1\n" * 9)
    made.launch(LOG)
    write(made, "val_loss: 0.9\n", mode="w")
    assert read(made).value == 0.9


def test_of_several_the_newest_with_the_metric_is_taken(made: Attempt) -> None:
    made.launch("*.log")
    texts = [("a.log", "val_loss: 1\n"), ("b.log", "val_loss: 2\n"), ("c.log", "x\n")]
    for at, (name, text) in enumerate(texts):
        write(made, text, name)
        os.utime(made.project / name, (at + 10, at + 10))
    readings = read(made, path="*.log")
    assert (readings.value, readings.detail) == (2.0, "b.log")


def test_where_there_is_none_that_is_said(made: Attempt) -> None:
    made.launch(LOG)
    assert read(made).problem == f"no file matches {LOG}"
    write(made, "nothing\n")
    assert read(made).problem == "val_loss was never printed"


def fed(follower: Follower) -> tuple[float | None, int | None]:
    follower.feed()
    return follower.latest, follower.step


def test_it_is_followed_while_the_run_trains(made: Attempt) -> None:
    write(made, "val_loss: 0.1\n")
    made.launch(LOG)
    backend = BACKENDS["log"]
    assert isinstance(backend, OwnLogBackend)
    follower = backend.follower(made.evidence(), query())
    assert fed(follower) == (None, None)
    write(made, "step 3 val_loss: 0.5\nval_loss: 0.")
    assert fed(follower) == (0.5, 3)
    write(made, "4\n")
    assert fed(follower) == (0.4, None)
    (made.project / LOG).unlink()
    assert fed(follower) == (0.4, None)


@pytest.mark.parametrize("given", [{"path": None}, {"regex": r"(\S+)"}])
def test_without_a_path_or_with_a_regex_nothing_is_followed(made: Attempt, given: dict[str, Any]) -> None:
    made.launch(LOG)
    write(made, "val_loss: 0.5\n")
    follower = OwnLogBackend(LogBackend()).follower(made.evidence(), query(**given))
    assert fed(follower) == (None, None)
