"""What a run changed in train.py: its snapshot against another one, read from the project's files."""

from difflib import unified_diff
from pathlib import Path

from arctl.dial import Answer
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import StorageError, UnknownRun
from ardaemon.core.layout import Run


def runs(view: Answer, other: str) -> tuple[Run, Run]:
    """Return that other run of the experiment, and the run that the daemon has shown."""
    after = Run(Path(view["folder"]))
    return Run(after.folder.parent / other), after


def lines(before: Run, after: Run) -> list[str]:
    """Return the unified diff. Raises UnknownRun, StorageError."""
    names = (f"{before.run_id}/train.py", f"{after.run_id}/train.py")
    return list(unified_diff(_lines(before), _lines(after), *names, lineterm=""))


def _lines(run: Run) -> list[str]:
    try:
        return files.text(run.train, file_kinds.TRAIN, "replace").splitlines()
    except FileNotFoundError:
        raise UnknownRun(f"there is no run {run.run_id}", "arctl status --last 10 lists the latest") from None
    except OSError as error:
        raise StorageError(f"cannot read {run.train}: {error.strerror}", "check its rights") from None
