"""Submit: everything is checked first, then the run is on disk, then it is acknowledged."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ardaemon.core.config import (
    ENVIRONMENT_MAX_BYTES,
    FREE_DISK_MIN,
    NOTE_MAX,
    Config,
    denied,
)
from ardaemon.core.errors import (
    CorruptState,
    ForeignOwner,
    StorageError,
    UnknownRun,
    UsageError,
)
from ardaemon.core.folder_key import folder_key
from ardaemon.core.gpus import Inventory
from ardaemon.core.layout import Experiment, Run, run_name, run_number
from ardaemon.core.literals import literal
from ardaemon.core.model import Placed, Session, Settings
from ardaemon.core.protocol import Submit
from ardaemon.core.run_record import Active, Queued, RunRecord
from ardaemon.core.text import one_line
from ardaemon.experiment import (
    generation,
    history,
    placing,
    runner,
    script_place,
    seal,
    train_file,
    versions,
)
from ardaemon.experiment.ownership import described
from ardaemon.experiment.ready import require_ready, version_to_restore
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.same import Version
from ardaemon.experiment.session import expire
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import State
from ardaemon.experiment.vanished import require_newest
from ardaemon.host import durable, state
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline import shell, tried, variables
from ardaemon.pipeline.need import need
from ardaemon.source.normal import raw


class Submitted(msgspec.Struct, frozen=True):
    """A run that is on disk."""

    record: RunRecord
    active: Active | None  # None: it is committed already
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # variables that the best's run had, and this one has not
    peaks: dict[str, tuple[float, ...]] = msgspec.field(default_factory=dict)  # what such runs have needed


class Position(msgspec.Struct, frozen=True):
    """The place of a new run among the active ones, and what else the daemon knows of the machine."""

    entries: Path  # the folder of active runs
    seq: int
    highest: int  # number of this experiment's active runs, which the session does not know yet
    key: bytes  # of the environments' fingerprints
    started_here: StartedHere
    inventory: Inventory | None = None  # the machine's GPUs
    under_way: tuple[RunRecord, ...] = ()  # the experiment's runs that nobody wants to end
    normal_of: Callable[[bytes], str] = raw  # the normal form of a train.py


def submit(experiment: Experiment, params: Submit, position: Position, config: Config) -> Submitted:
    """Record one candidate, or find it again by its submit id.

    The run's number is on disk with the active entry, and with the session from its commit on: so the
    session need not be written now.
    """
    current = load_or_repair(experiment)
    require_newest(experiment, current.session)
    number = _number(experiment, current.session, params, position)
    if current.session.recent_submits.get(params.submit_id) == run_name(number):
        return Submitted(read_record(experiment.run(run_name(number))), None, tuple(current.warnings))
    current = expire(experiment, current, position.started_here)
    settings = require_ready(experiment, current, position.started_here)
    environment = job_environment.filtered(params.environment, config)
    _check_room(experiment, environment)
    runner.command(settings, environment, experiment, experiment.run("r0000"))
    origin = script_place.checked(current.contract.origin)
    data = train_file.read(experiment.train)
    target = version_to_restore(experiment, current)
    asked = need(settings, params, position.inventory)
    fingerprint = job_environment.fingerprint(environment, position.key)
    looked = _look(experiment, params, position, current, data, fingerprint)
    record = replace(
        _record(params, run_name(number), data, current, settings, fingerprint),
        variables=variables.names_of(environment),
        origin=origin,
        shell=params.shell,
        not_given=shell.not_given(params.shell),
        need=asked,
        normal=looked.normal,
        measure=looked.measure,
        laid_out_by=described(position.key),
        state_folder=str(position.entries.parent),
    )
    missing = _missing(experiment, current, environment, config)
    with state.storage("look through", experiment.folder):
        not_linked = script_place.notes(experiment, origin) if settings.exec != "live" else []
    mode = durable.mode_of(experiment.train, 0o444)
    _lay_out(experiment, data, mode, position.started_here.records.signed(record))
    active = Active(
        folder=str(experiment.folder),
        run_id=record.run_id,
        seq=position.seq,
        submit_id=record.submit_id,
        environment=environment,
        umask=params.umask,
        shell=params.shell,
        priority=params.priority,
    )
    _enter(entry_path(position.entries, experiment, record.run_id), active, experiment.run(record.run_id))
    told = shell.warnings(record, shell.before(experiment, record))
    warnings = (*current.warnings, *told, *not_linked, *put_back(experiment, record, current, target))
    return Submitted(record, active, warnings, missing, current.session.peaks)


def _missing(
    experiment: Experiment, current: State, environment: dict[str, str], config: Config
) -> tuple[str, ...]:
    """Return which variables the best's run had, and this one has not, but for those that are denied now."""
    best = history.record_of(experiment.run(current.best.run_id)) if current.best is not None else None
    names = variables.missing(best.variables, environment) if best is not None else ()
    return tuple(name for name in names if not denied(name, config))


def to_compare(experiment: Experiment) -> bytes | None:
    """Return train.py, if its normal form will be asked for: if there is a best, and the file can be read."""
    try:
        return train_file.snapshot(experiment.train) if experiment.best.exists() else None
    except OSError:
        return None  # the submit says so


def _look(
    experiment: Experiment, params: Submit, position: Position, current: State, data: bytes, fingerprint: str
) -> tried.Look:
    """Look whether this train.py was run before. Raises Refused and UnderWay where it was."""
    settings = current.session.settings
    assert settings is not None, "the session is live"
    conditions = seal.conditions(settings, current.contract)
    version = Version(train_file.sha256(data), "", conditions, fingerprint)
    asked = position.normal_of, position.under_way
    return tried.look(experiment, current, data, version, *asked, params.again)


def _check_room(experiment: Experiment, environment: dict[str, str]) -> None:
    if sum(len(n) + len(v) for n, v in environment.items()) > ENVIRONMENT_MAX_BYTES:
        raise UsageError("the environment is too large", f"keep it under {ENVIRONMENT_MAX_BYTES >> 10} KiB")
    with state.storage("look at", experiment.folder):
        space = os.statvfs(experiment.folder)
    free = space.f_bavail * space.f_frsize
    if free < FREE_DISK_MIN:
        raise StorageError(
            f"only {free >> 20} MiB are free at {experiment.folder}",
            f"free at least {FREE_DISK_MIN >> 20} MiB: arctl prune --keep-logs 10 removes old logs;"
            " nothing was recorded",
        )


def note_of(data: bytes, given: str | None) -> str:
    """Return the note: --note, else RUN_NOTE of the script, which is read without running it."""
    note = given if given is not None else literal(data, "RUN_NOTE")
    return one_line(note, NOTE_MAX) if isinstance(note, str) else ""


def read_record(run: Run) -> RunRecord:
    """Read run.json. Raises UnknownRun where there is none."""
    record = state.read(run.record, RunRecord)
    if record is None:
        raise UnknownRun(f"no run {run.run_id} in {run.folder.parent.parent.name}", "arctl status --last 10")
    return record


def _record(
    params: Submit, run_id: str, data: bytes, current: State, settings: Settings, fingerprint: str
) -> RunRecord:
    placed = current.session.placed
    live = settings.exec == "live"  # its own file runs: it must stay until then
    return RunRecord(
        run_id=run_id,
        submit_id=params.submit_id,
        sha256=train_file.sha256(data),
        base=placed.run_id if placed else None,
        note=note_of(data, params.note),
        submitted_at=state.now(),
        settings=settings,
        epoch=current.session.epoch,
        revision=current.session.revision,
        seal=seal.fingerprint(current.contract),
        environment_sha256=fingerprint,
        restore="at_verdict" if live else params.restore,
    )


def _number(experiment: Experiment, session: Session, params: Submit, position: Position) -> int:
    """Return the next number; or that of the same submit, where a daemon died before it could answer."""
    earlier = session.recent_submits.get(params.submit_id)
    if earlier is not None:
        return run_number(earlier)
    number = max(session.last_run, position.highest) + 1
    while not _is_free(experiment, run_name(number), params, position):
        number += 1
    return number


def _is_free(experiment: Experiment, run_id: str, params: Submit, position: Position) -> bool:
    """Tell whether the number was never acknowledged: its run may be laid out, and has no active entry."""
    run = experiment.run(run_id)
    entry = entry_path(position.entries, experiment, run_id)
    try:
        record = state.read(run.record, RunRecord)
    except (CorruptState, ForeignOwner):
        return False
    if record is None:
        return not entry.exists()  # its folder may be away, or was removed: its job may be at work
    if record.state != Queued():
        return False  # also of the same submit: it was launched, perhaps by a daemon that is elsewhere
    if record.submit_id == params.submit_id:
        return True
    # Another daemon's may wait in that one's queue.
    return not entry.exists() and record.laid_out_by in ("", described(position.key))


def _lay_out(experiment: Experiment, data: bytes, mode: int, record: RunRecord) -> None:
    run = experiment.run(record.run_id)
    with state.storage("create", run.folder):
        durable.make_own_folder(run.folder)
        durable.sweep(run.folder)  # laid out before, and never acknowledged
        versions.keep(experiment, run.run_id, data)
        durable.write(run.train, data, mode, folder=False)
        durable.write(run.record, state.encode(record))


def _enter(entry: Path, active: Active, run: Run) -> None:
    """Write the active entry, with which the run is recorded; where that fails, leave nothing of the run."""
    is_there = entry.exists()  # of the same submit: a daemon died before it could answer
    try:
        state.write(entry, active, 0o600)
    except StorageError:
        if not is_there:
            with suppress(OSError):
                durable.remove(entry)  # first: a run without an entry was never acknowledged
                durable.remove_tree(run.folder)
        raise


def entry_path(entries: Path, experiment: Experiment, run_id: str) -> Path:
    """Return the path of a run's active entry."""
    return entries / f"{folder_key(experiment.folder)}-{run_id}.json"


def put_back(experiment: Experiment, record: RunRecord, current: State, target: Placed) -> tuple[str, ...]:
    """Put the best into train.py at once for a submit without --wait: the next candidate can be written.

    A daemon that finds the run does it again, for another may have been killed before it. The run is
    acknowledged by now: what fails here is a warning, never an error.
    """
    if record.restore != "at_submit":
        return ()
    try:
        outcome = placing.place(experiment, target, {record.sha256, target.sha256}, None)
        durable.sync_folder(experiment.folder)
        if outcome == "edited_since":
            return ("train.py was edited in the same moment: it was left alone",)
        if current.session.placed != target:
            generation.write(experiment, replace(current.session, placed=target))
    except (StorageError, ForeignOwner, OSError) as error:
        return (f"{record.run_id} is queued, but the best could not be put back into train.py: {error}",)
    return ()
