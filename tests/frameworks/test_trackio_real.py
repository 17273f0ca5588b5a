"""trackio's own files, in every way in which a run may end."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from ardaemon.core.model import Primary
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.trackio import TrackioBackend, environment
from tests.support.lab import wait_until

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(180)]

LOSS = Query(Primary("val/loss"))
ROWS = 20
SCRIPT = f"""
import sys, time
import trackio
how = sys.argv[1]
run = trackio.init(project="p")
for n in range({ROWS}):
    trackio.log({{"val/loss": 1 / (n + 1), "deep": {{"acc": n}}, "odd": float("nan")}})
print("logged", flush=True)
if how == "exception":
    raise ValueError("an error")
if how == "end":
    time.sleep(600)
trackio.finish()
"""


def world(folder: Path) -> AttemptOutput:
    run = folder / "runs" / "r0001"
    run.mkdir(parents=True)
    bound = environment(run, "r0001-a1")
    return AttemptOutput(
        log=run / "log", run_folder=run, attempt_folder=run / "a1", project=folder, environment=bound
    )


def start(python: str, found: AttemptOutput, how: str) -> subprocess.Popen[bytes]:
    with (found.project / "output").open("wb") as output:
        return subprocess.Popen(
            [python, "-c", SCRIPT, how],
            cwd=found.project,
            env={"HOME": str(found.project), "PATH": os.defpath, "HF_HUB_OFFLINE": "1", **found.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def check(found: AttemptOutput, readings: Readings) -> None:
    output = (found.project / "output").read_text()[-900:]
    assert readings.value == 1 / ROWS, output
    assert readings.metrics["deep.acc"].last == ROWS - 1
    assert "odd" not in readings.metrics
    assert [point.step for point in readings.curve] == list(range(ROWS))


@pytest.mark.parametrize("how", ["normal", "exception"])
def test_a_run_that_ends_by_itself_is_read_whole(frameworks: str, tmp_path: Path, how: str) -> None:
    found = world(tmp_path)
    process = start(frameworks, found, how)
    process.wait(120)
    check(found, TrackioBackend().read(found, LOSS))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_killed_is_read_whole(frameworks: str, tmp_path: Path, number: signal.Signals) -> None:
    """Its rows lie in the WAL then, which nobody has put into the file."""
    found = world(tmp_path)
    follower = TrackioBackend().follower(found, LOSS)

    def arrived() -> bool:
        follower.feed()
        return follower.latest == 1 / ROWS

    process = start(frameworks, found, "end")
    try:
        wait_until(arrived, "the last row is in the file", 60)
    finally:
        os.killpg(process.pid, number)
        process.wait(60)
    folder = Path(found.environment["TRACKIO_DIR"])
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    check(found, TrackioBackend().read(found, LOSS))
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
