"""Make the job's own folder anew for each attempt: the script in its place, and links to what lies beside it.

The folder is not synced: an attempt that a power cut ends is lost whatever stands there.
"""

import contextlib
import os
from pathlib import Path

from ardaemon.core.config import NEIGHBOURS_MAX
from ardaemon.core.layout import JOB, Experiment, Run
from ardaemon.core.model import Settings
from ardaemon.experiment import script_place, train_file
from ardaemon.host import durable, operations, state


def make_job_folder(
    experiment: Experiment,
    run: Run,
    attempt: int,
    settings: Settings | None = None,
    origin: str | None = None,
) -> None:
    """Make the folder for that attempt; put what the attempt before left there into that attempt's folder.

    Another daemon may call this again after a kill. Raises StorageError.
    """
    with state.storage("prepare", run.job):
        if attempt > 1:
            _put_aside(run, attempt - 1)
        durable.make_own_folder(run.job, folder=False)  # synced with run.json
        if origin is None:
            _copy_snapshot(run, run.script)
        else:
            _lay_out_place(experiment, run, origin)
            # Where checks and metric commands look for it, whatever the original's name and depth.
            _link(os.path.relpath(script_place.snapshot(run, origin), run.job), run.script)
        _link_siblings(experiment, run.job)
    if settings is not None and settings.exec == "live":
        _copy_live(experiment, run, origin)


def _copy_snapshot(run: Run, script: Path) -> None:
    """Write the copy in place, not aside and renamed: a crash leaves no name of ours in the job's folder."""
    durable.remove(script)
    fd = operations.create(script, os.O_EXCL, durable.mode_of(run.train, 0o644))
    try:
        operations.write(fd, train_file.snapshot(run.train))
    finally:
        os.close(fd)


def _lay_out_place(experiment: Experiment, run: Run, origin: str) -> None:
    """Make the folders from the project's root down to the script, with links to what the real ones hold.

    The experiment's own files come first: its prepare.py is the sealed one.
    """
    script = script_place.snapshot(run, origin)
    place = run.job / script_place.PLACE
    for level in script_place.levels(origin):
        durable.make_own_folder(place / level, folder=False)
    _copy_snapshot(run, script)
    _link_siblings(experiment, script.parent)
    lock = script_place.lock_of(experiment.train)
    if lock.exists():
        _link(str(lock), script_place.lock_of(script))
    for level in script_place.levels(origin):
        real = script_place.real(experiment, origin, level)
        for name in script_place.neighbours(real)[:NEIGHBOURS_MAX]:
            _link(str(real / name), place / level / name)


def _copy_live(experiment: Experiment, run: Run, origin: str | None) -> None:
    """Put the version into the original's folder, from where `--exec live` runs it, with uv's lock."""
    copy = script_place.live(experiment, origin)
    if copy == experiment.train or origin is None:
        return
    with state.storage("write", copy):
        _copy_snapshot(run, copy)
        locks = (experiment.train, experiment.project / origin)
        lock = next(filter(Path.exists, map(script_place.lock_of, locks)), None)
        if lock is not None:
            durable.remove(script_place.lock_of(copy))
            _link(str(lock), script_place.lock_of(copy))


def _put_aside(run: Run, attempt: int) -> None:
    """Move what the attempt left in the job's folder into the attempt's own."""
    aside = run.attempt(attempt).folder / JOB
    if not os.path.lexists(aside) and os.path.lexists(run.job):
        operations.rename(run.job, aside)
        durable.sync_folder(aside.parent)  # the run's own folder is synced with run.json


def _link_siblings(experiment: Experiment, folder: Path) -> None:
    """Link what lies beside train.py in the experiment, so that the copy finds it beside itself as well."""
    way = os.path.relpath(experiment.folder, folder)
    for name in script_place.siblings(experiment)[:NEIGHBOURS_MAX]:
        _link(os.path.join(way, name), folder / name)


def _link(target: str, path: Path) -> None:
    """Link `path` to `target`, unless something stands there already."""
    with contextlib.suppress(FileExistsError):
        operations.symlink(target, path)
