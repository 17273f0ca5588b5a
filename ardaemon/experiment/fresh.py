"""`--resume fresh`: moves an experiment's runs and results into its archive, so that it begins anew."""

import os
import shlex
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from ardaemon.checkpoints import place
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import StorageError
from ardaemon.core.layout import ORIGINAL, Experiment
from ardaemon.core.model import Contract, Counters, Session
from ardaemon.experiment import generation, placing, train_file, versions
from ardaemon.host import durable, state

# Names that go into archive/. runs/ is the first, so that its place tells whether the moves have begun.
OUTCOMES = ("runs", "results.tsv", "facts.jsonl", ".same", "best.json", "best_ckpt", ".ckpt")
RUNS_NEW = ".runs-new"


def finish_fresh(experiment: Experiment, session: Session) -> None:
    """Do what `--resume fresh` wants once the intent stands in the session; steps that are done are left out.

    The intent (`archiving`, the folder's name in archive/) is written first. After a kill in the midst,
    the next reader of the state finds it there and calls this again.
    """
    assert session.archiving is not None
    home = experiment.archive / session.archiving
    archived = archive_train(experiment, session.archiving)
    with state.storage("archive into", home):
        _prepare_runs(experiment, home)
        for name in OUTCOMES:
            if os.path.lexists(experiment.folder / name) and not os.path.lexists(home / name):
                durable.rename(experiment.folder / name, home / name)
        if not experiment.runs.exists():
            durable.rename(experiment.folder / RUNS_NEW, experiment.runs)
    original = placing.kept(experiment, ORIGINAL)
    outcome = placing.place(experiment, original, {original.sha256, archived or original.sha256}, None)
    placed = None if outcome == "edited_since" else original
    generation.write(
        experiment,
        replace(session, archiving=None, counters=Counters(), placed=placed, results_bytes=0, undelivered=()),
    )


def stamp() -> str:
    """Return a new name for a folder in archive/."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")


def archive_train(experiment: Experiment, name: str) -> str | None:
    """Copy train.py into archive/{name}/, once, and return the copy's hash; None without a train.py."""
    home = experiment.archive / name
    copy = home / experiment.train.name
    with state.storage("archive into", home):
        _make_archive(experiment)
        durable.make_own_folder(home)
        over = copy.exists() or (home / experiment.runs.name).exists()  # runs/ is moved after the copy
        if not over and experiment.train.is_file():
            mode = durable.mode_of(experiment.train, 0o777)
            durable.write(copy, files.read(experiment.train, file_kinds.EDIT), mode)
        return train_file.sha256(files.read(copy, file_kinds.EDIT)) if copy.exists() else None


def _make_archive(experiment: Experiment) -> None:
    """Make archive/. Raises StorageError if a link stands there that leads to another experiment."""
    durable.make_folder(experiment.archive)
    if (fault := place.fault(experiment.archive)) is not None:
        mend = shlex.join(["rm", str(experiment.archive)])
        raise StorageError(f"nothing is put into {experiment.archive}: {fault}", mend)


def _prepare_runs(experiment: Experiment, home: Path) -> None:
    """Make the new runs/ with the original in it, under another name, so that one rename puts it in place."""
    moved = home / experiment.runs.name
    if moved.exists() and experiment.runs.exists():
        return
    folder = experiment.folder / RUNS_NEW / ORIGINAL
    durable.make_own_folder(folder.parent)
    durable.make_own_folder(folder)
    runs = moved if moved.exists() else experiment.runs
    data, mode = original(experiment, runs, home)
    if _is_gone(experiment, runs / ORIGINAL / experiment.train.name):
        _believe(experiment, data)
    durable.write(folder / experiment.train.name, data, mode)


def without_original(experiment: Experiment) -> tuple[str, ...]:
    """Return a line if an experiment can begin anew only with train.py as it stands."""
    if not _is_gone(experiment, experiment.run(ORIGINAL).train):
        return ()
    return (f"the original of {experiment.slug} is gone: it began anew with train.py as it stood",)


def original(experiment: Experiment, runs: Path, home: Path) -> tuple[bytes, int]:
    """Return the version that an experiment begins anew with, and its mode. Raises OSError.

    So it is the one in `runs`, or the copy of that. Where both are gone, it is train.py as it stood, in
    `home`: there is no other.
    """
    path = runs / ORIGINAL / experiment.train.name
    if _is_gone(experiment, path):
        path = home / experiment.train.name
        return train_file.snapshot(path), durable.mode_of(path, 0o444)
    mode = durable.mode_of(path, 0o444) if path.exists() else 0o444
    return placing.original(experiment, path), mode


def _is_gone(experiment: Experiment, snapshot: Path) -> bool:
    try:
        placing.original(experiment, snapshot)
    except FileNotFoundError:
        return True
    return False


def _believe(experiment: Experiment, data: bytes) -> None:
    """Take another original than before, whose copy is kept: else nothing would be believed to be it."""
    sha256 = train_file.sha256(data)
    contract = state.read(experiment.contract, Contract)
    if contract is not None and contract.original not in ("", sha256):
        versions.keep(experiment, ORIGINAL, data)
        state.write(experiment.contract, replace(contract, original=sha256))
