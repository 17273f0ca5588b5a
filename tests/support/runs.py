"""Sessions and committed runs without a daemon: what the daemon does, in this process, with no job run."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.config import Config
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Exit, Result, Session, Settings
from ardaemon.core.protocol import SessionStart, Submit
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment import session
from ardaemon.experiment.started_here import StartedHere
from ardaemon.host import operations
from ardaemon.pipeline import apply, decide, submit
from ardaemon.pipeline.ended import Ended
from ardaemon.pipeline.extract import Extracted

STARTED_HERE = StartedHere(b"key")
ENVIRONMENT = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def start(made: Experiment, resume: Any = "continue", **settings: Any) -> Session:
    """`arctl session start`."""
    given = Settings(**{"seconds": 5, **settings})
    params = SessionStart(
        project=str(made.project), settings=given, environment=ENVIRONMENT, resume=resume, ack_baseline=True
    )
    return session.start(made, params, (), STARTED_HERE, lambda _: None).session


def tried(made: Experiment, value: float, text: str | None = None) -> Result:
    """One candidate, submitted and committed as if its job had printed `value`."""
    return ended(made, submitted(made, text or f'print("val/loss: {value}")\n'), value)


def submitted(made: Experiment, text: str) -> RunRecord:
    """One candidate with this train.py, which waits."""
    made.train.write_text(text)
    entries = made.project / "entries"
    entries.mkdir(exist_ok=True)
    params = Submit(
        project=str(made.project),
        submit_id=os.urandom(8).hex(),
        environment=ENVIRONMENT,
        restore="at_verdict",
    )
    return submit.submit(made, params, submit.Position(entries, 1, 0, b"key", STARTED_HERE), Config()).record


def ended(made: Experiment, record: RunRecord, value: float) -> Result:
    """Commit the candidate as if its job had printed `value`."""
    run = made.run(record.run_id)
    run.attempt(1).folder.mkdir()
    run.job.mkdir()
    over = Ended(
        experiment=made,
        run=run,
        record=record,
        exit=Exit(ending="exited", exit_code=0, seconds=1.0, ended_at="2026-11-22T10:05:00Z"),
        attempts=1,
        extracted=Extracted(metrics={"val/loss": value}),
        seal_faults=(),
        manual=False,
        boot_id="boot",
    )
    return apply.apply(made, run, decide.decide(over))


def everything(folder: Path) -> dict[str, bytes | str]:
    """Every file and link below `folder`, by its relative name; folders end with a slash.

    But for `.owner`, which says which daemon may change the project, and since when.
    """
    found: dict[str, bytes | str] = {}
    for path in sorted(p for p in folder.rglob("*") if p.name != ".owner"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[f"{name}/"] = ""
        else:
            found[name] = path.read_bytes()
    return found


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the daemon catches it."""


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do `work`, stopped dead right before operation number `step`; False: it has fewer."""
    left = step

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "hook", count)
        try:
            work()
        except Killed:
            return True
    return False
