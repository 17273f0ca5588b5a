"""Puts a version back into train.py, only if no edit is lost, and only the very version that is meant."""

import contextlib
import os
import shlex
from collections.abc import Collection
from pathlib import Path

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import CorruptState, StorageError
from ardaemon.core.layout import ORIGINAL, Experiment
from ardaemon.core.model import Contract, Placed, TrainFile
from ardaemon.experiment import history, train_file, versions
from ardaemon.host import durable, operations, state
from ardaemon.host.state import storage


def kept(experiment: Experiment, run_id: str) -> Placed:
    """Return the version that a run keeps, put right where it was rewritten.

    What a run has tried, its record tells, and of the original the contract; only earlier versions wrote it
    nowhere. Raises StorageError if nobody has that version.
    """
    if sha256 := _recorded(experiment, run_id):
        _version(experiment, target := Placed(run_id, sha256))
        return target
    copy, path = versions.copy(experiment, run_id), experiment.run(run_id).train
    if copy is not None and versions.put_right(experiment, run_id, sha256 := train_file.sha256(copy)):
        return Placed(run_id, sha256)
    with storage("read", path):
        return Placed(run_id, train_file.sha256(train_file.snapshot(path)))


def _recorded(experiment: Experiment, run_id: str) -> str:
    """Return the hash of what a run has tried, or of the original; "" where nobody wrote it down."""
    if run_id == ORIGINAL:
        with contextlib.suppress(CorruptState):
            contract = state.read(experiment.contract, Contract)
            return contract.original if contract is not None else ""
    record = history.record_of(experiment.run(run_id))
    return record.sha256 if record is not None else ""


def original(experiment: Experiment, snapshot: Path) -> bytes:
    """Return the original; `snapshot` is where it lies now, and is read if the copy is not the original."""
    data, sha256 = versions.copy(experiment, ORIGINAL), _recorded(experiment, ORIGINAL)
    known = data is not None and sha256 in ("", train_file.sha256(data))
    return data if known and data is not None else train_file.snapshot(snapshot)


def place(experiment: Experiment, target: Placed, accepted: Collection[str], mine: str | None) -> TrainFile:
    """Make train.py the version `target`, unless someone has edited it since. The caller syncs the folder.

    `accepted` are the hashes of the versions that may be overwritten. `mine` is the hash of the run's
    own snapshot, by which a `target` that stands there already is reported as `kept` or as `restored`.
    """
    advancing = target.sha256 == mine
    with storage("restore", experiment.train):
        if _rescue(experiment, {target.sha256, *accepted}):
            return "edited_since"
    standing = train_file.current(experiment)
    if standing == target.sha256:
        return "kept" if advancing else "restored"
    if standing not in accepted and os.path.lexists(experiment.train):
        return "edited_since"  # plainly an edit: the file is not touched at all
    with storage("restore", experiment.train):
        data, mode = _version(experiment, target), _mode(experiment, experiment.run(target.run_id).train)
        swapped = durable.swap(
            experiment.train, data, lambda old: train_file.sha256(old) in accepted, mode, folder=False
        )
    if not swapped:
        return "edited_since"
    return "updated" if advancing else "restored"


def _version(experiment: Experiment, target: Placed) -> bytes:
    """Return the bytes of the version that is placed, by its hash. Raises StorageError if nobody has them."""
    path = experiment.run(target.run_id).train
    right = versions.put_right(experiment, target.run_id, target.sha256)
    data = train_file.snapshot(path) if right else b""
    if train_file.sha256(data) != target.sha256:
        give_up = shlex.join(["rm", "-r", str(path.parent)])
        raise StorageError(
            f"{path} is not the version that was judged, and no copy of it is left: train.py stays as it is",
            f"put that version back (its sha256 begins with {target.sha256[:12]})"
            + (f"; or give the run up: {give_up}" if target.run_id != ORIGINAL else ""),
        )
    return data


def _rescue(experiment: Experiment, accepted: Collection[str]) -> bool:
    """Put back an edit that a daemon killed in mid-swap left in the swap file; return whether that was done.

    A version in `accepted` is no edit, and is removed. The edit gets a visible name first, so that no
    further kill can lose it.
    """
    swap_file = Path(durable.swap_file(experiment.train))
    try:
        data = files.read(swap_file, file_kinds.EDIT)
    except FileNotFoundError:
        return False
    if train_file.sha256(data) in accepted:
        durable.remove(swap_file)
        return False
    visible = experiment.folder / f"train.py.rescued-{swap_file.stat().st_mtime_ns}"
    operations.rename(swap_file, visible)
    # A newer edit may stand in train.py already: then both stay.
    mode = _mode(experiment, visible)
    if not durable.swap(experiment.train, data, lambda old: train_file.sha256(old) in accepted, mode):
        return False
    durable.remove(visible)
    return True


def _mode(experiment: Experiment, target: Path) -> int:
    """Return the mode of train.py, which a person may have changed; without one, a copy's of `target`."""
    if experiment.train.exists():
        return durable.mode_of(experiment.train, 0o777)
    return durable.mode_of(target, 0o644)
