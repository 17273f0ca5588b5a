"""What a metric backend is: it answers which metrics a run reported, and from which source."""

from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from ardaemon.core.model import Primary

# Different names that are kept of one run: a script that prints unique names must not fill the memory.
METRICS_MAX = 512
NAME_MAX = 128  # characters; anything longer is not a metric's name
NEAREST = 3  # names that are offered where the primary metric was not found


class Metric(Struct, frozen=True):
    """What a run reported under one name; `best` is the primary metric's alone, where all of it was read."""

    last: float
    best: float | None = None
    step: int | None = None


class Evidence(Struct, frozen=True, kw_only=True):
    """Where one attempt left its traces; `started_at` is its start, seconds of the wall clock."""

    log: Path
    run_folder: Path
    attempt_folder: Path
    project: Path
    environment: dict[str, str] = field(default_factory=dict)
    started_at: float = 0.0


class Query(Struct, frozen=True):
    """What is asked: the primary metric, and the session's own ways to find it."""

    primary: Primary
    regex: str | None = None
    command: str | None = None


class Readings(Struct, frozen=True):
    """A backend's answer; where the primary metric is missing, `problem` says why in one line.

    `nearest` holds the names most like it which were printed, the most similar first.
    """

    source: str
    metrics: dict[str, Metric]
    nearest: tuple[str, ...] = ()
    problem: str | None = None


class MetricBackend(Protocol):
    """Reads metrics from one kind of source; synchronous, called in a thread."""

    @property
    def name(self) -> str:
        """The word for it in `--metrics`."""

    def read(self, evidence: Evidence, query: Query) -> Readings:
        """The attempt's metrics. Never raises for what a training script can do wrong."""
