"""The metric backends by the name that `--metrics` has for them, and what they set in a job's environment."""

from collections.abc import Callable
from pathlib import Path

from ardaemon.metrics import mlflow, tensorboard, trackio, wandb
from ardaemon.metrics.auto import AutoBackend
from ardaemon.metrics.base import FileBackend, MetricBackend
from ardaemon.metrics.csv_rows import CSV
from ardaemon.metrics.custom import CustomBackend
from ardaemon.metrics.json_lines import JSONL
from ardaemon.metrics.log import LogBackend
from ardaemon.metrics.trainer_state import TrainerStateBackend

# In the order in which `auto` asks them: first what names a run's history by its steps for certain.
FILES: tuple[FileBackend, ...] = (
    wandb.WandbBackend(),
    tensorboard.TensorboardBackend(),
    TrainerStateBackend(),
    CSV,
    JSONL,
    trackio.TrackioBackend(),
    mlflow.MlflowBackend(),
)
AUTO = AutoBackend(CustomBackend(), LogBackend(), FILES)
BACKENDS: dict[str, MetricBackend] = {
    backend.name: backend for backend in (AUTO.custom, AUTO.log, *FILES, AUTO)
}

# Of (the run's folder, the attempt's id as "r0043-a2"): variables that make a library write into the run's
# own folder, or name its output after the attempt. They are set only where the caller has not set them.
ENVIRONMENTS: tuple[Callable[[Path, str], dict[str, str]], ...] = (
    wandb.environment,
    tensorboard.environment,
    trackio.environment,
    mlflow.environment,
)


def environment(run_folder: Path, attempt_id: str) -> dict[str, str]:
    """What binds the output of the libraries that are known to the attempt."""
    found: dict[str, str] = {}
    for of in ENVIRONMENTS:
        found |= of(run_folder, attempt_id)
    return found
