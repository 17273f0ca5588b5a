"""A slot on which something lives that could not be killed: no run is put there until it is gone.

One file per slot in the state folder, written before the run is committed: the daemon that starts next
reads it before it starts anything. `arctl clean` lifts it.
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
    """Durable when this returns."""
    state.write(_path(folder, record.slot), record, 0o600)


def at_start(folder: Path) -> dict[str, str]:
    """The slots that stay in quarantine, and why; what has lost its ground is lifted."""
    durable.sweep(folder)
    lift_stale(folder)
    return dict(_slot_and_why(path) for path in _paths(folder))


def lift_stale(folder: Path) -> list[str]:
    """Lift those of another boot, and those whose experiment and whose processes are gone; their slots."""
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
    """Those for which a run of that experiment stands."""
    found = [_read(path) for path in _paths(folder)]
    return [record for record in found if record is not None and record.folder == str(experiment.folder)]


def lift(folder: Path, record: Quarantine) -> None:
    """The slot may be used again; the survivors' cgroup goes."""
    if cgroup.ours(record.cgroup):
        cgroup.remove(record.cgroup)
    with state.storage("remove", folder):
        durable.remove(_path(folder, record.slot))
        durable.sync_folder(folder)
    log.info("lifted", extra={"facts": {"slot": record.slot, "run_id": record.run_id}})


def alive(experiment: Experiment, record: UncleanRecord | Quarantine) -> list[Process]:
    """What still lives of what was left: by pid and start time, by cgroup, by the run's environment tag."""
    if record.boot_id not in ("", boot_id()):
        return []
    found = {p.pid: p for p in processes.living(record.survivors)}
    found |= {p.pid: p for p in processes.tagged({"AR_RUN_DIR": str(experiment.run(record.run_id).folder)})}
    if cgroup.ours(record.cgroup):
        found |= {p.pid: p for p in processes.in_cgroup(record.cgroup)}
    return list(found.values())


def named(survivors: tuple[Process, ...] | list[Process]) -> str:
    """1234 (python), 1235 (python) and 3 more"""
    shown = ", ".join(f"{p.pid} ({p.name})" for p in survivors[:4])
    return f"{shown} and {len(survivors) - 4} more" if len(survivors) > 4 else shown


def words(record: Quarantine) -> str:
    """For whoever waits for that slot."""
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
