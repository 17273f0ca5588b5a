"""Make the job's own folder anew for each attempt: a copy of the snapshot, and links to what lies beside it.

The folder is not synced: an attempt that a power cut ends is lost whatever stands there.
"""

import contextlib
import os
from pathlib import Path

from ardaemon.core.config import SIBLINGS_MAX
from ardaemon.core.folders import Look, listing
from ardaemon.core.layout import DAEMON_FILES, JOB, Experiment, Run
from ardaemon.experiment import train_file
from ardaemon.host import durable, operations, state


def make_job_folder(experiment: Experiment, run: Run, attempt: int) -> None:
    """Make the folder for that attempt; put what the attempt before left there into that attempt's folder.

    Another daemon may call this again after a kill. Raises StorageError.
    """
    with state.storage("prepare", run.job):
        if attempt > 1:
            _put_aside(run, attempt - 1)
        durable.make_own_folder(run.job, folder=False)  # synced with run.json
        _copy_snapshot(run)
        _link_siblings(experiment, run.job)


def _copy_snapshot(run: Run) -> None:
    """Write the copy in place, not aside and renamed: a crash leaves no name of ours in the job's folder."""
    durable.remove(run.script)
    fd = operations.create(run.script, os.O_EXCL, durable.mode_of(run.train, 0o644))
    try:
        operations.write(fd, train_file.snapshot(run.train))
    finally:
        os.close(fd)


def _put_aside(run: Run, attempt: int) -> None:
    """Move what the attempt left in the job's folder into the attempt's own."""
    aside = run.attempt(attempt).folder / JOB
    if not os.path.lexists(aside) and os.path.lexists(run.job):
        operations.rename(run.job, aside)
        durable.sync_folder(aside.parent)  # the run's own folder is synced with run.json


def _link_siblings(experiment: Experiment, folder: Path) -> None:
    """Link what lies beside train.py in the experiment, so that the copy finds it beside itself as well."""
    entries = listing(str(experiment.folder), Look(experiment.folder), follow=True)
    names = sorted({one.name for one in entries} - DAEMON_FILES)
    way = os.path.relpath(experiment.folder, folder)
    for name in [n for n in names if not n.startswith(".") and n != "__pycache__"][:SIBLINGS_MAX]:
        with contextlib.suppress(FileExistsError):
            operations.symlink(os.path.join(way, name), folder / name)
