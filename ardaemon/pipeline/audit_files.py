"""The hidden audit's files in the daemon's state folder: what waits for it, and what it has shown.

Nothing of an audit lies in the project. When an advance is committed, its active entry is renamed into the
folder of those that wait: that needs no room on the disk, and happens once, whenever the daemon is killed.
"""

import logging
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from ardaemon.core.audits import Audits, AuditValue, WaitingAudit
from ardaemon.core.config import AUDIT_LOGS_KEPT, AUDITS_KEPT
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.folder_key import folder_key
from ardaemon.core.layout import AuditFiles, Experiment, audit_entry, run_number
from ardaemon.core.model import Direction, Result
from ardaemon.core.private import private_folder
from ardaemon.core.run_record import RunRecord
from ardaemon.host import durable, operations, state
from ardaemon.pipeline import apply

log = logging.getLogger("ardaemon.run")


class Waiting(NamedTuple):
    """An advance that waits for its audit, and its entry."""

    path: Path
    active: WaitingAudit


def of_experiment(audits: Path, folder: Path) -> AuditFiles:
    """Return the files of an experiment's audit."""
    return AuditFiles(audits / folder_key(folder))


def is_due(record: RunRecord, result: Result) -> bool:
    """Tell whether the run is to be audited: it is a candidate that became the best."""
    return record.settings.audit is not None and not record.of and result.verdict == "advance"


def checkpoint_of(experiment: Experiment, result: Result) -> str:
    """Return the run's promoted checkpoint, links resolved; "" if it has none."""
    return os.path.realpath(experiment.folder / result.checkpoint) if result.checkpoint else ""


def finish(entry: Path, record: RunRecord, result: Result) -> None:
    """Take the active entry of a committed run away: to those that wait for their audit, if it is one.

    One that cannot be moved now stays, and is moved later (brought()): no verdict waits for that. One whose
    environment a launch on an idle place may need stays too (queue/handing_over.py).
    """
    if is_due(record, result):
        if not _moved(entry):
            log.warning("audit put off", extra={"facts": {"run_id": record.run_id}})
    elif not is_handed_on(record, result):
        apply.finish(entry)


def is_handed_on(record: RunRecord, result: Result) -> bool:
    """Tell whether the run's environment may be needed after its commit, by a launch on an idle place."""
    goes_on = record.settings.measure_noise and not result.should_terminate
    return goes_on and not is_due(record, result)


def brought(active: Path, names: Iterable[str]) -> bool:
    """Move those of these entries that stay in the folder `active`; tell whether none does any more."""
    moved = [_moved(active / name) for name in names]
    return all(moved)


def _moved(entry: Path) -> bool:
    try:
        operations.rename(entry, audit_entry(entry))
    except FileNotFoundError:  # it was moved before
        pass
    except OSError:
        return False
    return True


def waiting(folder: Path) -> list[Waiting]:
    """Return all that wait for their audit, in the order of the advances; pass over what cannot be read."""
    found = []
    for path in folder.glob("*.json"):
        try:
            active = state.read(path, WaitingAudit)
            if active is not None:
                found.append((_came_ns(path, active), path.name, Waiting(path, active)))
        except (ArdaemonError, OSError) as error:
            log.warning("unreadable", extra={"facts": {"entry": path.name, "why": str(error)}})
    return [one for _, _, one in sorted(found, key=lambda entry: entry[:2])]


def _came_ns(path: Path, active: WaitingAudit) -> int:
    """Return when the entry came here: the file's own time, until the file is written anew."""
    return active.came_ns or path.lstat().st_ctime_ns


def started(one: Waiting) -> Waiting:
    """Write down that the audit is started once more, before it is. Raises StorageError."""
    return _written(one, starts=one.active.starts + 1, away_since=0.0)


def away_s(one: Waiting) -> float:
    """Return for how long the project is away, in seconds; note when that began. Raises StorageError."""
    now = time.time()
    if not one.active.away_since:
        _written(one, away_since=now)
    return max(now - (one.active.away_since or now), 0.0)


def back(one: Waiting) -> Waiting:
    """Write down that the project is away no more. Raises StorageError."""
    return _written(one, away_since=0.0)


def _written(one: Waiting, **changes: float) -> Waiting:
    active = replace(one.active, came_ns=_came_ns(*one), **changes)
    state.write(one.path, active, 0o600)
    return Waiting(one.path, active)


def read(files: AuditFiles, experiment: Experiment) -> Audits:
    """Return what the audits of an experiment have shown. Raises CorruptState and StorageError."""
    return state.read(files.values, Audits) or Audits(folder=str(experiment.folder))


def is_recorded(files: AuditFiles, experiment: Experiment, active: WaitingAudit) -> bool:
    """Tell whether the audit of that run is recorded already."""
    return any(_run_of(audit) == _run_of(active) for audit in read(files, experiment).values)


def _run_of(one: AuditValue | WaitingAudit) -> tuple[str, str]:
    return one.run_id, one.submit_id


def record(
    files: AuditFiles,
    experiment: Experiment,
    audit: AuditValue,
    metric: str = "",
    direction: Direction = "min",
) -> Audits:
    """Add what an audit has shown, durably, and return all. Raises CorruptState and StorageError.

    Without the name of the primary metric it stays as it was.
    """
    known = read(files, experiment)
    # The try before may have written it, though the disk refused something after that.
    others = [one for one in known.values if _run_of(one) != _run_of(audit)]
    if any(one.run_id == audit.run_id for one in others):  # the experiment was made anew
        others = []
    values = sorted([*others, audit], key=lambda one: (one.run_ended_at, run_number(one.run_id)))
    known = replace(known, values=tuple(values[-AUDITS_KEPT:]))
    known = replace(known, metric=metric, direction=direction) if metric else known
    private_folder(files.folder)
    durable.sweep(files.folder)
    state.write(files.values, known, 0o600)
    return known


def keep_log(files: AuditFiles, run_id: str, data: bytes) -> None:
    """Keep what an audit printed, and the last AUDIT_LOGS_KEPT of them; it is for looking at only."""
    try:
        private_folder(files.folder)
        durable.publish(files.log(run_id), data, 0o600)
        logs = sorted(files.folder.glob("*.log"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        for old in logs[:-AUDIT_LOGS_KEPT]:
            durable.remove(old)
    except (ArdaemonError, OSError) as error:
        log.warning("not written", extra={"facts": {"path": str(files.log(run_id)), "why": str(error)}})


def over(one: Waiting) -> None:
    """Remove the entry of an audit that is recorded; one that comes back is seen to be recorded."""
    with suppress(OSError):
        durable.remove(one.path)
