"""Which runs were removed, with real folders: a change beside thousands that wait looks at a few."""

import shutil
from pathlib import Path

import pytest

from ardaemon.core.layout import run_name
from ardaemon.core.run_record import Active
from ardaemon.pipeline.flight import Flight
from ardaemon.queue.removed import LOOKED_AT_MAX, removed_of
from tests.support import folders
from tests.support.folders import calls_of_files, record

COUNT = 3 * LOOKED_AT_MAX


@pytest.fixture
def flights(tmp_path: Path) -> list[Flight]:
    """Many runs of one experiment, of which the last one is at work."""
    experiment = folders.experiment(tmp_path)
    made = []
    for number in range(1, COUNT + 1):
        run = experiment.run(run_name(number))
        run.folder.mkdir(parents=True)
        run.record.touch()
        active = Active(folder=str(experiment.folder), run_id=run.run_id, seq=number, environment={})
        made.append(Flight(experiment, run, active, record(run.run_id), tmp_path / run.run_id))
    made[-1].state = "running"
    return made


def test_a_change_looks_at_the_first_that_wait_and_at_those_at_work_and_no_more_in_a_longer_queue(
    flights: list[Flight],
) -> None:
    short = [*flights[:LOOKED_AT_MAX], flights[-1]]
    looks = calls_of_files(lambda: removed_of(short)).count("stat")
    assert looks >= 2 * len(short)
    assert calls_of_files(lambda: removed_of(flights)).count("stat") == looks


@pytest.mark.parametrize("first", [0, COUNT - 1])
def test_once_one_of_these_is_gone_every_run_is_looked_at(flights: list[Flight], first: int) -> None:
    gone = [flights[first], flights[COUNT - 2]]
    for flight in gone:
        shutil.rmtree(flight.run.folder)
    assert removed_of(flights) == gone


def test_of_a_short_queue_every_run_is_looked_at(flights: list[Flight]) -> None:
    shutil.rmtree(flights[1].run.folder)
    assert removed_of(flights[:2]) == [flights[1]]
