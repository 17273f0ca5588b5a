"""An attempt as a metric backend sees it: its folders, its environment, and what its launch has noted."""

from pathlib import Path
from typing import Any, Self

from ardaemon.metrics import own
from ardaemon.metrics.base import AttemptOutput


def evidence(project: Path, run: Path, **given: Any) -> AttemptOutput:
    """Of a run's first attempt, its log where the shim writes it."""
    return AttemptOutput(
        log=run / "a1" / "run.log", run_folder=run, attempt_folder=run / "a1", project=project, **given
    )


class Attempt:
    """A project and one attempt."""

    started_at = 0.0  # of what launch() has noted, the times say nothing

    def __init__(self, project: Path, run: Path, environment: dict[str, str] | None = None) -> None:
        self.project, self.run, self.environment = project, run, environment or {}
        self.run.mkdir(parents=True, exist_ok=True)
        self.before: dict[str, str] = {}
        self.noted: tuple[str, ...] = ()

    def launch(self, *patterns: str) -> Self:
        """Note what is there by now."""
        self.noted = patterns
        self.before = own.marks(patterns, self.project, self.run)
        return self

    def evidence(self, **given: Any) -> AttemptOutput:
        """What the daemon knows of it."""
        known = {
            "environment": self.environment,
            "started_at": self.started_at,
            "before": self.before,
            "noted": self.noted,
        }
        return evidence(self.project, self.run, **{**known, **given})
