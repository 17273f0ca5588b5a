"""The trainer_state backend, on files as transformers writes them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.file_kinds import TRAINER_STATE
from ardaemon.core.model import Primary
from ardaemon.metrics.base import AttemptOutput, Follower, Query, Readings
from ardaemon.metrics.trainer_state import TrainerStateBackend
from tests.support import attempt

# As transformers 5 leaves it, less what has no number.
HISTORY: list[dict[str, Any]] = [
    {"epoch": 0.5, "grad_norm": 1.5, "learning_rate": 5e-05, "loss": 2.5, "step": 10},
    {"epoch": 0.5, "eval_loss": 2.25, "eval_runtime": 0.5, "step": 10},
    {"epoch": 1.0, "grad_norm": 1.0, "learning_rate": 0.0, "loss": 2.0, "step": 20},
    {"epoch": 1.0, "eval_loss": 2.125, "eval_runtime": 0.5, "step": 20},
    {"epoch": 1.0, "step": 20, "total_flos": 10, "train_loss": 2.25, "train_runtime": 3.5},
]


def save(folder: Path, name: str, history: Any, when: float | None = None) -> Path:
    path = folder / name / "trainer_state.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = history if isinstance(history, str) else json.dumps({"global_step": 1, "log_history": history})
    path.write_text(text)
    if when is not None:
        os.utime(path, (when, when))
    return path


def at(follower: Follower) -> tuple[float | None, int | None]:
    return follower.latest, follower.step


def evidence(folder: Path) -> AttemptOutput:
    return attempt.evidence(folder, folder)


def read(folder: Path, name: str = "eval_loss") -> Readings:
    return TrainerStateBackend().read(evidence(folder), Query(Primary(name)))


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [
        ("eval_loss", 2.125, 20),
        ("eval/loss", 2.125, 20),
        ("loss", 2.0, 20),
        ("train/loss", 2.0, 20),
        ("train_loss", 2.25, 20),
        ("train/train_loss", 2.25, 20),
        ("learning_rate", 0.0, 20),
    ],
)
def test_a_metric_is_found_under_the_files_name_and_the_reporters(
    tmp_path: Path, name: str, value: float, step: int
) -> None:
    save(tmp_path, "out/checkpoint-20", HISTORY)
    readings = read(tmp_path, name)
    assert (readings.value, readings.counted) == (value, f"last@{step}")
    assert readings.detail == "out/checkpoint-20/trainer_state.json"


def test_the_newest_state_has_the_whole_history(tmp_path: Path) -> None:
    save(tmp_path, "out/checkpoint-9", HISTORY[:2], 100)
    save(tmp_path, "out/checkpoint-10", HISTORY[:4], 100)  # in the same moment: by number, not by name
    assert read(tmp_path).value == 2.125
    save(tmp_path, "out", [*HISTORY, {"eval_loss": 1.0, "step": 30}], 200)
    assert (read(tmp_path).value, len(read(tmp_path).curve)) == (1.0, 3)


@pytest.mark.parametrize("text", ['{"log_history": [{"eval_lo', "", "[]", '{"log_history": 3}', "[" * 99_999])
def test_a_torn_state_is_told_and_the_one_before_it_counts(tmp_path: Path, text: str) -> None:
    """Killed while it saved a checkpoint."""
    save(tmp_path, "out/checkpoint-10", HISTORY[:2], 100)
    save(tmp_path, "out/checkpoint-20", text, 200)
    readings = read(tmp_path)
    assert readings.value == 2.25
    assert readings.problem is not None
    assert readings.problem.startswith("out/checkpoint-20/trainer_state.json: ")


def test_entries_that_are_none_report_nothing(tmp_path: Path) -> None:
    odd = [None, 3, {"eval_loss": "low"}, {"eval_loss": True}, {"eval_loss": 4, "step": "x"}]
    save(tmp_path, "checkpoint-1", odd)
    assert (read(tmp_path).value, read(tmp_path).counted) == (4.0, "last")


def test_a_loss_that_became_nan_is_nan(tmp_path: Path) -> None:
    save(tmp_path, "checkpoint-1", [*HISTORY, {"eval_loss": float("nan"), "step": 30}])
    assert read(tmp_path).problem == "eval_loss is nan at its last value"


def test_a_state_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    os.truncate(save(tmp_path, "checkpoint-1", HISTORY), TRAINER_STATE.most + 1)
    assert read(tmp_path).problem == "checkpoint-1/trainer_state.json: it is larger than 64 MiB"


def test_a_follower_reads_the_newest_state_when_there_is_one(tmp_path: Path) -> None:
    follower = TrainerStateBackend().follower(evidence(tmp_path), Query(Primary("eval_loss")))
    follower.feed()
    assert at(follower) == (None, None)
    save(tmp_path, "out/checkpoint-10", HISTORY[:2], 100)
    follower.feed()
    assert at(follower) == (2.25, 10)
    save(tmp_path, "out/checkpoint-20", HISTORY, 200)
    follower.feed()
    assert at(follower) == (2.125, 20)
