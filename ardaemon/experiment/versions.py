"""Keeps a second copy of each version of train.py, because a job can rewrite the snapshots in runs/.

A job runs as the same user as the daemon. A script that saves itself, a notebook's sync, a formatter that
goes through the project: each may write into runs/, and means no harm. The copies lie apart, packed with
gzip, under names that no such tool takes for Python. Each is believed by its hash alone.
"""

import gzip
import os
import zlib

from ardaemon.core import file_kinds, files
from ardaemon.core.layout import ORIGINAL, Experiment
from ardaemon.experiment import train_file
from ardaemon.host import durable, state

_GZIP = 16 + zlib.MAX_WBITS  # the format that zlib is to expect


def keep(experiment: Experiment, run_id: str, data: bytes) -> None:
    """Keep the copy of a run's version, durably. Raises OSError."""
    durable.make_own_folder(experiment.versions)
    durable.write(experiment.version(run_id), gzip.compress(data, mtime=0), _mode(experiment, run_id))


def copy(experiment: Experiment, run_id: str) -> bytes | None:
    """Return the copy of a run's version; None if there is none that can be read."""
    try:
        packed = files.read(experiment.version(run_id), file_kinds.VERSION)
        # Never more than the largest version has, whatever was put there.
        return zlib.decompressobj(_GZIP).decompress(packed, file_kinds.TRAIN.most)
    except (OSError, zlib.error):
        return None


def put_right(experiment: Experiment, run_id: str, sha256: str) -> bool:
    """Make the run's snapshot the version of that hash if it is not; return whether it is.

    What stands there instead is kept beside it. The copy of a run whose folder was removed makes no folder
    anew: somebody wanted the run away. But each experiment has its original. Raises StorageError.
    """
    path = experiment.run(run_id).train
    if train_file.hash_at(path) == sha256:
        return True
    data = copy(experiment, run_id)
    if data is None or train_file.sha256(data) != sha256:
        return False
    if not path.parent.is_dir():
        if run_id != ORIGINAL:
            return False
        with state.storage("put back", path):
            durable.make_own_folder(path.parent)
    mode = _mode(experiment, run_id)
    if os.path.lexists(path):
        state.put_aside(path)
    with state.storage("put back", path):
        durable.write(path, data, mode)
    return True


def _mode(experiment: Experiment, run_id: str) -> int:
    """Return a copy's mode: for others no more than the snapshot, or train.py, allows them."""
    snapshot = experiment.run(run_id).train
    return durable.mode_of(snapshot if snapshot.is_file() else experiment.train, 0o444)
