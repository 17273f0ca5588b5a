"""A session's own regex: read in a process of its own, which no pattern can make outlive its deadline."""

import os
import threading
import time
from pathlib import Path

import pytest

from ardaemon.core.errors import UsageError
from ardaemon.core.model import Primary
from ardaemon.metrics.base import AttemptOutput, Query
from ardaemon.metrics.log import LogBackend

LOSS = Primary("loss")
ENDLESS = r"^loss: (\S+)( ?\w+ ?)*;$"


def evidence(folder: Path, text: str) -> AttemptOutput:
    log = folder / "run.log"
    log.write_text(text)
    return AttemptOutput(log=log, run_folder=folder, attempt_folder=folder, project=folder)


def test_a_pattern_without_end_is_given_up_at_the_deadline_and_named(tmp_path: Path) -> None:
    traces = evidence(tmp_path, "loss: 1 " + "a" * 200 + "!\n")
    begun = time.monotonic()
    readings = LogBackend(deadline=1.0).read(traces, Query(LOSS, ENDLESS))
    assert time.monotonic() - begun >= 1.0
    assert readings.metrics == {}
    assert readings.problem is not None
    assert readings.problem.startswith("--metric-regex '^loss: ")
    assert "after 1 s" in readings.problem


def test_while_a_pattern_searches_other_threads_go_on(tmp_path: Path) -> None:
    """The `re` engine holds the interpreter's lock: in this process nothing would run meanwhile."""
    traces = evidence(tmp_path, "loss: 1 " + "a" * 200 + "!\n")
    reading = threading.Thread(target=LogBackend(deadline=1.0).read, args=(traces, Query(LOSS, ENDLESS)))
    reading.start()
    turns = 0
    while reading.is_alive():
        reading.join(0.01)
        turns += 1
    assert turns > 2  # of 100: on a busy machine there are fewer; in this process it would be none


def test_the_answer_is_the_one_that_is_read_in_process(tmp_path: Path) -> None:
    traces = evidence(tmp_path, "step 3 потеря >> 0.5 acc: 91.2%\nstep 4 потеря >> 0.75 lr=1e-4\n")
    query, backend = Query(Primary("потеря"), r"потеря >> (\S+)"), LogBackend()
    found = backend.read(traces, query)
    assert found == backend.read_here(traces, query)
    assert {name: metric.last for name, metric in found.metrics.items()} == {
        "потеря": 0.75,
        "acc": 91.2,
        "lr": 1e-4,
    }
    assert (found.metrics["потеря"].best, found.metrics["потеря"].step) == (0.5, 4)


def test_a_folder_whose_name_is_no_text_is_read_as_well(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    readings = LogBackend().read(evidence(folder, "final 0.5"), Query(LOSS, r"final (\S+)"))
    assert readings.metrics["loss"].last == 0.5


def test_nothing_of_the_project_or_the_environment_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    readings = LogBackend().read(evidence(tmp_path, "final 0.5"), Query(LOSS, r"final (\S+)"))
    assert readings.metrics["loss"].last == 0.5


def test_a_pattern_that_cannot_be_used_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--metric-regex"):
        LogBackend().read(evidence(tmp_path, ""), Query(LOSS, "(["))


def test_a_pattern_too_long_for_a_process_is_a_problem_and_no_error(tmp_path: Path) -> None:
    readings = LogBackend().read(evidence(tmp_path, "x"), Query(LOSS, "(" + "x" * 200_000 + ")"))
    assert readings.problem is not None
    assert readings.problem.startswith("--metric-regex")
