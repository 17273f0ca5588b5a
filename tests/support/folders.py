"""An experiment's folder without a daemon, made by the same code that makes every other."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ardaemon.core.layout import Experiment
from ardaemon.core.model import Settings
from ardaemon.core.protocol import Init
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment import create

SLUG = "261122-test"
TRAIN = 'print("val/loss: 1.0")\n'


def experiment(
    project: Path, prepare: str | None = "CONTRACT = {'version': 1}\n", **params: object
) -> Experiment:
    """Create an experiment with the primary metric val/loss (min) in `project`."""
    files = {"train": TRAIN} | ({"prepare": prepare} if prepare is not None else {})
    for name, text in files.items():
        (project / f"{name}.py").write_text(text)
    given: dict[str, object] = {
        "primary_metric": "val/loss",
        "primary_direction": "min",
        **{name: str(project / f"{name}.py") for name in files},
        **params,
    }
    return create.create(Init(project=str(project), slug=SLUG, **given))[0]  # type: ignore[arg-type]


def record(run_id: str = "r0001", **fields: Any) -> RunRecord:
    """run.json of a run that was just submitted."""
    known: dict[str, Any] = {
        "submit_id": "s",
        "sha256": "",
        "base": None,
        "note": "",
        "submitted_at": "2026-11-22T10:00:00Z",
        "settings": Settings(seconds=1),
        "environment_sha256": "",
    }
    return RunRecord(run_id=run_id, **{**known, **fields})


def bytes_read() -> int:
    """What this process has read by system calls so far (proc(5), io: rchar)."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


def calls_of_files(work: Callable[[], object]) -> list[str]:
    """Do the work, and return the names of the functions of `os` and `io` that it calls."""
    called: list[str] = []

    def note(_: object, event: str, function: Any) -> None:
        if event == "c_call" and getattr(function, "__module__", None) in ("posix", "_io", "io"):
            called.append(function.__name__)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called
