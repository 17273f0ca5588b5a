"""Quarantine of slots on which processes survived their kill: a slot in it gets no run until they are gone.

There is one file per slot in the state folder. It is written before the run is committed, so that a daemon
that starts next reads it before it starts any run. `arctl clean` lifts the quarantine.
"""

import logging
import os
from pathlib import Path

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, boot_id
from ardaemon.core.model import Process, Quarantine, UncleanRecord
from ardaemon.host import cgroup, durable, processes, state

log = logging.getLogger("ardaemon.quarantine")


def keep(folder: Path, record: Quarantine) -> None:
    """Write the record of one slot; it is durable when this returns."""
    state.write(_path(folder, record.slot), record, 0o600)


def at_start(folder: Path) -> dict[str, str]:
    """Lift what has become stale, and return the slots that stay in quarantine, each with its reason."""
    durable.sweep(folder)
    lift_stale(folder)
    return dict(_slot_and_why(path) for path in _paths(folder))


def lift_stale(folder: Path) -> list[str]:
    """Lift the stale records and return their slots.

    A record is stale if it is of another boot, or if both its experiment and its processes are gone.
    """
    lifted = []
    for path in _paths(folder):
        record = _read(path)
        if record is not None and _stale(record):
            lift(folder, record)
            lifted.append(record.slot)
    return lifted


def _stale(record: Quarantine) -> bool:
    if record.boot_id not in ("", boot_id()):
        return True
    return not os.path.isdir(record.folder) and not alive(Experiment(Path(record.folder)), record)


def of(folder: Path, experiment: Experiment) -> list[Quarantine]:
    """Return the records that a run of that experiment has caused."""
    records = [_read(path) for path in _paths(folder)]
    return [record for record in records if record is not None and record.folder == str(experiment.folder)]


def lift(folder: Path, record: Quarantine) -> None:
    """Remove the record, so that the slot may be used again, and the survivors' cgroup."""
    if cgroup.ours(record.cgroup):
        cgroup.remove(record.cgroup)
    with state.storage("remove", folder):
        durable.remove(_path(folder, record.slot))
        durable.sync_folder(folder)
    log.info("lifted", extra={"facts": {"slot": record.slot, "run_id": record.run_id}})


def alive(experiment: Experiment, record: UncleanRecord | Quarantine) -> list[Process]:
    """Return the survivors that still live: by pid and start time, by environment tag, by cgroup."""
    if record.boot_id not in ("", boot_id()):
        return []
    by_pid = {p.pid: p for p in processes.living(record.survivors)}
    run = experiment.run(record.run_id)
    tags = [{"AR_RUN_DIR": str(folder)} for folder in (run.job, run.folder)]  # the latter of earlier versions
    by_pid |= {p.pid: p for p in processes.tagged(*tags)}
    if cgroup.ours(record.cgroup):
        by_pid |= {p.pid: p for p in processes.in_cgroup(record.cgroup)}
    return list(by_pid.values())


def named(survivors: tuple[Process, ...] | list[Process]) -> str:
    """Name processes for a person, four of them at most: `1234 (python), 1235 (python) and 3 more`."""
    shown = ", ".join(f"{p.pid} ({p.name})" for p in survivors[:4])
    return f"{shown} and {len(survivors) - 4} more" if len(survivors) > 4 else shown


def words(record: Quarantine) -> str:
    """Say what survived on the slot and what to do about it, for whoever waits for the slot."""
    experiment = Experiment(Path(record.folder))
    return (
        f"{record.slot} is in quarantine: {named(record.survivors)} of {experiment.slug}/{record.run_id}"
        f" survived the kill; end it, then in {experiment.project}: arctl clean --expr {experiment.slug}"
    )


def _slot_and_why(path: Path) -> tuple[str, str]:
    record = _read(path)
    return (path.stem, _unreadable(path)) if record is None else (record.slot, words(record))


def _unreadable(path: Path) -> str:
    return f"{path.stem} is in quarantine, and {path} cannot be read: remove it, then: arctl daemon restart"


def _read(path: Path) -> Quarantine | None:
    try:
        return state.read(path, Quarantine)
    except ArdaemonError as error:
        log.warning("unreadable", extra={"facts": {"why": str(error)}})
        return None


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def _path(folder: Path, slot: str) -> Path:
    return folder / f"{slot.replace('/', '_')}.json"  # as in an old MIG instance's name
