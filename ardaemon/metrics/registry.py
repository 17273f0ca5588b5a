"""The metric backends by their words in `--metrics`, and the variables that they set for a job."""

from collections.abc import Callable
from pathlib import Path

from ardaemon.metrics import mlflow, tensorboard, trackio, wandb
from ardaemon.metrics.auto import AutoBackend
from ardaemon.metrics.base import FileBackend, MetricBackend
from ardaemon.metrics.csv_rows import CSV
from ardaemon.metrics.custom import CustomBackend
from ardaemon.metrics.json_lines import JSONL
from ardaemon.metrics.log import LogBackend
from ardaemon.metrics.own_log import OwnLogBackend
from ardaemon.metrics.trainer_state import TrainerStateBackend

# In the order in which `auto` asks them: first those whose files certainly have a run's history by its steps.
FILES: tuple[FileBackend, ...] = (
    wandb.WandbBackend(),
    tensorboard.TensorboardBackend(),
    TrainerStateBackend(),
    CSV,
    JSONL,
    trackio.TrackioBackend(),
    mlflow.MlflowBackend(),
)
LOG = LogBackend()
AUTO = AutoBackend(CustomBackend(), LOG, FILES, OwnLogBackend(LOG))
BACKENDS: dict[str, MetricBackend] = {
    backend.name: backend for backend in (AUTO.custom, AUTO.own_log, *FILES, AUTO)
}

# Functions of the run's folder and the attempt's id ("r0043-a2"). The variables that they return make a
# library write into the run's own folder, or name its output after the attempt. A variable that the caller
# has set stays as it is.
ENVIRONMENTS: tuple[Callable[[Path, str], dict[str, str]], ...] = (
    wandb.environment,
    tensorboard.environment,
    trackio.environment,
    mlflow.environment,
)


def environment(run_folder: Path, attempt_id: str) -> dict[str, str]:
    """Return the variables by which each library's output is found again as this attempt's."""
    variables: dict[str, str] = {}
    for of in ENVIRONMENTS:
        variables |= of(run_folder, attempt_id)
    return variables
