"""The `.wandb` files of wandb itself, in every way in which a run may end, of several versions.

FRAMEWORKS_PYTHON names an interpreter that has wandb; WANDB_PYTHONS more of them, separated by `:`.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ardaemon.core.model import Primary
from ardaemon.metrics.base import AttemptOutput, Query, Readings
from ardaemon.metrics.wandb import WandbBackend, environment
from tests.support.lab import wait_until

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(180)]

PYTHONS = [
    path
    for path in [os.environ.get("FRAMEWORKS_PYTHON", ""), *os.environ.get("WANDB_PYTHONS", "").split(":")]
    if path
]
LOSS = Query(Primary("val/loss"))
ROWS = 40
STEPS = 10  # of training, between two rows
# `define_metric` as Hugging Face's callback calls it; "end" waits for the parent, which kills it.
SCRIPT = f"""
import os, sys, time
import wandb
how = sys.argv[1]
run = wandb.init(project="p")
run.define_metric("train/global_step")
run.define_metric("*", step_metric="train/global_step", step_sync=True)
for n in range({ROWS}):
    row = {{"val/loss": 1 / (n + 1), "train/global_step": n * {STEPS}}}
    row |= {{"deep": {{"acc": n, "more": {{"x": 0.5}}}}}}
    run.log(row | {{"odd": float("nan"), "none": None, "text": "5", "page": wandb.Html("x")}})
run.summary["only/summary"] = 7
print("logged", run.id, flush=True)
if how == "exception":
    raise SystemExit("an error") if len(sys.argv) > 2 else ValueError("an error")
if how == "end":
    time.sleep(600)
if how == "twice":
    run.finish()
    run = wandb.init(project="p")
    run.log({{"val/loss": 0.5, "train/global_step": 5000}})
run.finish()
"""


@pytest.fixture(params=PYTHONS or [""])
def python(request: pytest.FixtureRequest) -> str:
    if not request.param:
        pytest.skip("$FRAMEWORKS_PYTHON names no interpreter: make test-frameworks installs one")
    return str(request.param)


def evidence(folder: Path, **given: str) -> AttemptOutput:
    run = folder / "runs" / "r0001"
    run.mkdir(parents=True, exist_ok=True)
    bound = environment(run, "r0001-a1") | given
    return AttemptOutput(
        log=run / "log", run_folder=run, attempt_folder=run / "a1", project=folder, environment=bound
    )


@contextmanager
def job(python: str, found: AttemptOutput, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The script in a process group of its own, all of which is gone at the end."""
    with (found.project / "output").open("wb") as output:
        process = subprocess.Popen(
            [python, "-c", SCRIPT, *arguments],
            cwd=found.project,
            env={"HOME": str(found.project), "PATH": os.defpath, **found.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(30)


def ended(python: str, found: AttemptOutput, *arguments: str) -> Readings:
    with job(python, found, *arguments) as process:
        process.wait(120)
    return WandbBackend().read(found, LOSS)


def check(readings: Readings) -> None:
    """All rows are there, and nothing that is none."""
    last = {name: metric.last for name, metric in readings.metrics.items()}
    assert readings.value == 1 / ROWS
    assert last.pop("only/summary", 7.0) == 7.0
    assert last == {
        "val/loss": 1 / ROWS,
        "train/global_step": (ROWS - 1) * STEPS,
        "deep.acc": ROWS - 1,
        "deep.more.x": 0.5,
    }
    assert readings.metrics["val/loss"].step == (ROWS - 1) * STEPS
    assert [point.step for point in readings.curve] == [n * STEPS for n in range(ROWS)]
    assert all(point.wall is not None for point in readings.curve)


@pytest.mark.parametrize("how", ["normal", "exception"])
def test_a_run_that_ends_by_itself_is_read_whole(python: str, tmp_path: Path, how: str) -> None:
    readings = ended(python, evidence(tmp_path), how)
    check(readings)
    assert readings.problem is None
    assert readings.metrics["only/summary"].last == 7.0
    assert str(readings.detail).endswith(f"{ROWS} rows, exit code {0 if how == 'normal' else 1}")


def flushes(python: str) -> bool:
    """Does this version write what was logged after a time that can be set?"""
    asked = "import wandb; print(hasattr(wandb.Settings(), 'x_transaction_log_flush_interval'))"
    return subprocess.run([python, "-c", asked], capture_output=True, check=True).stdout == b"True\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_gives_what_is_on_disk(
    python: str, tmp_path: Path, number: signal.Signals
) -> None:
    """All, since wandb writes after a second as it is told; before, what fills blocks of 32 KiB.

    And while it runs the follower sees the same.
    """
    found, whole = evidence(tmp_path), flushes(python)
    follower = WandbBackend().follower(found, LOSS)

    def arrived() -> bool:
        follower.feed()
        return follower.latest == 1 / ROWS if whole else follower.latest is not None

    with job(python, found, "end") as process:
        wait_until(arrived, "the rows are in the file", 40)
        os.killpg(process.pid, number)
        process.wait(60)
        seen = follower.step
    readings = WandbBackend().read(found, LOSS)
    if whole:
        check(readings)
        assert seen == (ROWS - 1) * STEPS
    steps = [point.step for point in readings.curve]
    assert steps == [n * STEPS for n in range(len(steps))]
    assert "rows, " in str(readings.detail)


def test_two_inits_of_one_process_are_one_run(python: str, tmp_path: Path) -> None:
    readings = ended(python, evidence(tmp_path), "twice")
    assert (readings.value, readings.metrics["val/loss"].step) == (0.5, 5000)
    assert len(readings.curve) == ROWS + 1


def test_a_folder_and_an_id_of_the_callers_own_are_followed(python: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    check(ended(python, evidence(tmp_path, WANDB_DIR=str(elsewhere), WANDB_RUN_ID="fixed"), "normal"))
    assert not (tmp_path / "runs" / "r0001" / "wandb").exists()


def test_a_folder_that_may_not_be_written_is_found_by_the_id(python: str, tmp_path: Path) -> None:
    """wandb goes to the temporary folder without a word. (A file in its place: root may write anywhere.)"""
    (tmp_path / "no-folder").write_text("")
    (tmp_path / "tmp").mkdir()
    found = evidence(tmp_path, WANDB_DIR=str(tmp_path / "no-folder"), TMPDIR=str(tmp_path / "tmp"))
    readings = ended(python, found, "normal")
    if readings.value is None:
        pytest.skip((tmp_path / "output").read_text()[-500:])
    check(readings)
