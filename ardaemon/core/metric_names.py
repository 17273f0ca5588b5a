"""The words of `--metrics`: every source that metrics can be read from (standard library alone)."""

from typing import Literal, get_args

# `log` is what the run printed; `auto` is the first source with the primary metric.
MetricSource = Literal[
    "log", "tensorboard", "wandb", "trainer_state", "csv", "jsonl", "trackio", "mlflow", "custom", "auto"
]
METRIC_SOURCES: tuple[str, ...] = get_args(MetricSource)
