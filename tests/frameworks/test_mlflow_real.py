"""MLflow's own files, in every way in which a run may end: one file for all runs, told apart by their tag."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from ardaemon.core.model import Primary
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.mlflow import MlflowBackend, environment
from tests.support.lab import wait_until

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(240)]

LOSS = Query(Primary("val/loss"))
ROWS = 20
SCRIPT = f"""
import sys, time
import mlflow
how, last = sys.argv[1], float(sys.argv[2])
with mlflow.start_run():
    for n in range({ROWS}):
        mlflow.log_metrics({{"val/loss": last * {ROWS} / (n + 1), "acc": n}}, step=n * 5)
    mlflow.log_metric("up", float("inf"))
    print("logged", flush=True)
    if how == "exception":
        raise ValueError("an error")
    if how == "end":
        time.sleep(600)
"""


def attempt(folder: Path, run_id: str) -> AttemptOutput:
    run = folder / "runs" / run_id
    run.mkdir(parents=True)
    bound = environment(run, f"{run_id}-a1")
    return AttemptOutput(
        log=run / "log", run_folder=run, attempt_folder=run / "a1", project=folder, environment=bound
    )


def start(python: str, found: AttemptOutput, how: str, last: float) -> subprocess.Popen[bytes]:
    with (found.project / "output").open("wb") as output:
        return subprocess.Popen(
            [python, "-c", SCRIPT, how, str(last)],
            cwd=found.project,
            env={"HOME": str(found.project), "PATH": os.defpath, **found.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def check(found: AttemptOutput, readings: Readings, last: float) -> None:
    assert readings.value == last, (readings, (found.project / "output").read_text()[-900:])
    assert readings.metrics["acc"].last == ROWS - 1
    assert "up" not in readings.metrics
    assert [point.step for point in readings.curve] == [n * 5 for n in range(ROWS)]


def test_runs_that_end_in_every_way_are_read_whole_and_apart(frameworks: str, tmp_path: Path) -> None:
    """The tables are made once: that takes MLflow some seconds."""
    runs = {}
    for number, how in enumerate(["normal", "exception", "SIGTERM", "SIGKILL"], 1):
        found = attempt(tmp_path, f"r000{number}")
        follower = MlflowBackend().follower(found, LOSS)
        process = start(frameworks, found, "end" if how.startswith("SIG") else how, float(number))
        if how.startswith("SIG"):

            def arrived() -> bool:
                follower.feed()  # noqa: B023 — called in this turn
                return follower.latest == number  # noqa: B023

            try:
                wait_until(arrived, "the last row is in the file", 60)
            finally:
                os.killpg(process.pid, getattr(signal, how))
        process.wait(120)
        runs[number] = found
        check(found, MlflowBackend().read(found, LOSS), float(number))
    for number, found in runs.items():
        check(found, MlflowBackend().read(found, LOSS), float(number))
