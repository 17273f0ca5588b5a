"""The index of versions: which run has tried the same, found as fast among 100,000 runs as among 10.

A link `.same/ab/cdef…` names the newest such run. Its name is a hash of the version's normal form, the
conditions and the environment: of all by which two runs are measurements of the same. Only runs that ended
`ok`, by their own text and under fair conditions, are in it. It is derived, as facts.jsonl is, and written
with that. So whoever finds a run here asks the run's own files before he believes it.
"""

import hashlib
import os
from collections.abc import Callable
from typing import NamedTuple

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, run_number
from ardaemon.core.model import Contract, Result
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment import history, seal
from ardaemon.host import durable, operations
from ardaemon.host.state import storage

DIGITS = 32  # of the hash


class Version(NamedTuple):
    """A train.py under its circumstances; `normal` is "" where nobody has asked for it yet."""

    sha256: str
    normal: str
    conditions: str
    environment: str


class Tried(NamedTuple):
    """A committed run of the same version."""

    record: RunRecord
    result: Result


def note(experiment: Experiment, version: Version, run_id: str) -> None:
    """Name this run as the newest of its version. Raises StorageError."""
    path = _path(experiment, version)
    with storage("note in", experiment.same):
        try:
            durable.make_own_folder(experiment.same, folder=False)
            durable.make_own_folder(os.path.dirname(path), folder=False)
            if not os.path.lexists(path):
                operations.symlink(run_id, path)
            elif _read(path) != run_id:
                durable.sweep(os.path.dirname(path))
                durable.link_to(run_id, path, folder=False)
        except (files.NotPlain, IsADirectoryError):
            pass  # a clone brought something else along: then nothing is found there, and all is run


def find(experiment: Experiment, version: Version, normal_of: Callable[[bytes], str]) -> Tried | None:
    """Return the newest committed run of the same version, if its own files say that it is one."""
    run_id = _read(_path(experiment, version))
    if run_id is None:
        return None
    try:
        run = experiment.run(run_id)
        record = history.record_of(run)
        result = history.committed(run, record)
        if record is None or result is None or not counts(record, result):
            return None
        # The link's name has the conditions; where another seal was accepted since, no file does.
        found = version_of(record, version.conditions)
        if not found.normal:  # nobody had asked for it when the run was submitted
            found = found._replace(normal=normal_of(files.read(run.train, file_kinds.TRAIN)))
    except (ArdaemonError, OSError):
        return None
    return Tried(record, result) if is_same(version, found) else None


def counts(record: RunRecord, result: Result) -> bool:
    """Tell whether the run's value stands: it ended well, by its own text, and under fair conditions."""
    stands = result.status == "ok" and result.primary.value is not None and result.tainted is None
    return stands and not result.rewritten and not record.measure


def conditions(record: RunRecord, contract: Contract) -> str:
    """Return what makes the run's value comparable; "" where another seal held than now."""
    if record.seal != seal.fingerprint(contract):
        return ""
    return seal.conditions(record.settings, contract)


def version_of(record: RunRecord, conditions: str) -> Version:
    """Return the version that a run tries, under these conditions."""
    return Version(record.sha256, record.normal, conditions, record.environment_sha256)


def may_be_same(version: Version, record: RunRecord) -> bool:
    """Tell whether a run may be of this version, before its conditions are worked out: thousands may wait."""
    return is_same(version, version_of(record, version.conditions))


def is_same(one: Version, other: Version) -> bool:
    """Tell whether two runs of these versions measure the same."""
    if (one.conditions, one.environment) != (other.conditions, other.environment):
        return False
    return one.sha256 == other.sha256 or one.normal == other.normal != ""


def _path(experiment: Experiment, version: Version) -> str:
    key = "\0".join((version.normal, version.conditions, version.environment))
    name = hashlib.sha256(key.encode()).hexdigest()[:DIGITS]
    return os.path.join(experiment.same, name[:2], name[2:])


def _read(path: str) -> str | None:
    """Return the run that a link names; None where there is none, or something else stands there."""
    try:
        run_id = os.readlink(path)
        run_number(run_id)
    except (OSError, ArdaemonError):
        return None
    return run_id
