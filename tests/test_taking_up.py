"""Thousands of runs that wait are taken up at a cost that grows as they do, and not as their square."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ardaemon import taking_up
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Session
from ardaemon.engines.base import Engine
from ardaemon.experiment import train_file
from ardaemon.host import durable, state
from ardaemon.taking_up import AT_ONCE, TakenUp, TakingUp
from tests.support import waiting
from tests.support.folders import experiment
from tests.support.runs import STARTED_HERE, start

RUNS = 2 * AT_ONCE + 50


@pytest.fixture
def made(tmp_path: Path) -> Experiment:
    """An experiment with a session, and a folder for active entries."""
    found = experiment(tmp_path)
    start(found)
    (tmp_path / "active").mkdir()
    return found


def left(made: Experiment, numbers: range, **fields: object) -> list[Path]:
    """Runs that an earlier daemon has left."""
    return waiting.lay_out(made, made.project / "active", numbers, {}, **fields)


def taken(made: Experiment, paths: list[Path]) -> list[TakenUp]:
    """What is found of them, by one question after the other."""
    unused: Engine = None  # type: ignore[assignment]  # runs that wait are with no engine
    project = TakingUp(made.project, taking_up.read(reversed(paths)), unused, STARTED_HERE)
    return [project.take(some) for some in project.some()]


def test_what_is_of_the_experiment_is_looked_at_once_and_not_for_each_of_its_runs(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = left(made, range(1, RUNS + 1))
    swept: Counter[Path] = Counter()
    read: Counter[Path] = Counter()

    def sweep(folder: Path) -> None:
        swept[folder] += 1

    def reading(path: Path, *kind: Any) -> Any:
        read[path] += 1
        return whole(path, *kind)

    whole = state.read
    monkeypatch.setattr(durable, "sweep", sweep)
    monkeypatch.setattr(state, "read", reading)
    answers = taken(made, paths)
    assert sum(len(answer.flights) for answer in answers) == RUNS
    assert swept[made.folder] == 1
    assert swept[paths[0].parent] == 0  # the daemon does that at its start
    assert {read[path] for path in paths} == {1}
    assert read[made.session] <= len(answers) + 1


def test_each_question_is_about_a_few_of_them_in_the_order_of_their_submits(made: Experiment) -> None:
    answers = taken(made, left(made, range(1, RUNS + 1)))
    assert [len(answer.flights) for answer in answers] == [AT_ONCE, AT_ONCE, RUNS - 2 * AT_ONCE]
    numbers = [flight.active.seq for answer in answers for flight in answer.flights]
    assert numbers == list(range(1, RUNS + 1))


def test_the_best_is_put_back_for_the_last_submit_alone(made: Experiment) -> None:
    """A person has an earlier version in train.py again: only the last submit can have been cut short."""
    first, other = b"print('first')\n", b"print('last')\n"
    paths = [
        *left(made, range(1, 2), restore="at_submit", sha256=train_file.sha256(first)),
        *left(made, range(2, 3), restore="at_submit", sha256=train_file.sha256(other)),
    ]
    made.train.write_bytes(first)
    taken(made, paths)
    assert made.train.read_bytes() == first
    made.train.write_bytes(other)
    taken(made, paths)
    assert made.train.read_bytes() == (made.run("r0000").train).read_bytes()


def test_the_ids_of_all_that_were_removed_are_written_down_at_once(
    made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = left(made, range(1, 31))
    for number in range(1, 21):
        shutil.rmtree(made.runs / f"r{number:04d}")
    writes: list[Path] = []
    whole = state.write

    def write(path: Path, *more: Any, **named: Any) -> None:
        writes.append(path)
        whole(path, *more, **named)

    monkeypatch.setattr(state, "write", write)
    (answer,) = taken(made, paths)
    assert [run.run_id for _, run in answer.removed] == [f"r{n:04d}" for n in range(1, 21)]
    assert len(answer.flights) == 10
    assert writes == [made.session]
    session = state.read(made.session, Session)
    assert session is not None
    assert session.last_run == 20
