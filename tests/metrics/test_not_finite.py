"""Values of the primary metric that are nan or infinite, counted while a run is at work."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ardaemon.core.model import Primary
from ardaemon.metrics.base import AttemptOutput, Follower, Query
from ardaemon.metrics.csv_rows import CSV
from ardaemon.metrics.json_lines import JSONL
from ardaemon.metrics.log_follower import LogFollower
from ardaemon.metrics.tensorboard import TensorboardBackend
from ardaemon.metrics.trainer_state import TrainerStateBackend
from tests.metrics import event_files
from tests.support import attempt
from tests.support.every import every

LOSS = Query(Primary("loss"))


@every(
    "text, in_a_row",
    [
        ("loss: nan\n", 1),
        ("loss: nan\nloss: nan\n", 2),
        ("loss: nan\nloss: 0.5\nloss: inf\n", 1),
        ("loss: inf\nloss: -inf\nloss: nan\n", 3),
        ("loss: nan\nnothing\nother: 1\nloss: nan\n", 2),
        ("loss: nan\rloss: nan\rloss: nan\n", 1),  # a bar, painted three times in one line
        ("loss: nan\rloss: nan\nloss: nan\rloss: nan\n", 2),
        ("loss: nan\r\nloss: nan\r\n", 2),
        ("step 10 loss nan\nINFO step 10 loss nan\n", 1),  # one value by two handlers
        ("step 10 loss nan\nstep 20 loss nan\n", 2),
        ("loss: nan\nloss: 1,5 or so\nloss: nan\n", 1),  # what cannot be read may be finite
        ("loss: 0.5\n", 0),
    ],
)
@pytest.mark.parametrize("at_once", [1, 7, 4096])
def test_in_a_log(tmp_path: Path, text: str, in_a_row: int, at_once: int) -> None:
    log, data = tmp_path / "run.log", text.encode()
    follower = LogFollower(log, LOSS)
    for at in range(0, len(data), at_once):
        log.write_bytes(data[: at + at_once])
        follower.feed()
    assert follower.not_finite.in_a_row == in_a_row
    assert follower.not_finite.was_finite == ("0.5" in text)


def _csv(output: AttemptOutput, values: list[float]) -> Follower:
    rows = "".join(f"{at},{value}\n" for at, value in enumerate(values))
    (output.run_folder / "metrics.csv").write_text(f"step,loss\n{rows}")
    return CSV.follower(output, LOSS)


def _jsonl(output: AttemptOutput, values: list[float]) -> Follower:
    rows = "".join(json.dumps({"loss": value}) + "\n" for value in values)
    (output.run_folder / "metrics.jsonl").write_text(rows)
    return JSONL.follower(output, LOSS)


def _trainer(output: AttemptOutput, values: list[float]) -> Follower:
    history = [{"loss": value, "step": at} for at, value in enumerate(values)]
    (output.run_folder / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    return TrainerStateBackend().follower(output, LOSS)


def _events(output: AttemptOutput, values: list[float]) -> Follower:
    scalars = (event_files.record(event_files.scalar("loss", one, at)) for at, one in enumerate(values))
    (output.run_folder / event_files.NAME).write_bytes(b"".join(scalars))
    return TensorboardBackend().follower(output, LOSS)


@pytest.mark.parametrize("source", [_csv, _jsonl, _trainer, _events])
def test_in_a_file(tmp_path: Path, source: Callable[[AttemptOutput, list[float]], Follower]) -> None:
    nan = float("nan")
    run = tmp_path / ".autoresearch/x/runs/r1"
    (run / "a1").mkdir(parents=True)
    output = attempt.evidence(tmp_path, run)
    for values, in_a_row in (([nan], 1), ([0.5, nan, nan, nan], 3), ([nan, nan, 0.5], 0)):
        follower = source(output, values)
        follower.feed()
        assert follower.not_finite.in_a_row == in_a_row


def test_rows_that_are_read_one_by_one_are_counted_together(tmp_path: Path) -> None:
    run = tmp_path / ".autoresearch/x/runs/r1"
    (run / "a1").mkdir(parents=True)
    output = attempt.evidence(tmp_path, run)
    seen = []
    with (run / "metrics.csv").open("w", buffering=1) as file:
        follower = CSV.follower(output, LOSS)
        for line in ("loss", "nan", "nan", "0.5", "inf"):
            file.write(f"{line}\n")
            follower.feed()
            seen.append(follower.not_finite.in_a_row)
    assert seen == [0, 1, 2, 0, 1]
