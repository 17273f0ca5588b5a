"""The order for an attempt: the seal checked, the intent on disk, what is to be started where."""

import contextlib

import msgspec
from msgspec.structs import replace

from ardaemon.checkpoints import find as checkpoint
from ardaemon.core.config import ATTEMPTS_MAX, Config
from ardaemon.core.errors import Refused, SessionNotLive
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Exit
from ardaemon.core.run_record import Handle, Launching, RunRecord
from ardaemon.engines.base import Engine, Launch
from ardaemon.experiment import runner, seal, train_file
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.state import State
from ardaemon.experiment.unclean import require_no_unclean
from ardaemon.host import operations, state
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline.attempts import make_job_folder
from ardaemon.pipeline.flight import Flight


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done of an attempt, and the run's record as it is on disk by now.

    `what` is the launch; or an end, where the attempt cannot be made.
    """

    what: Launch | Exit
    record: RunRecord
    seal_faults: tuple[str, ...] = ()


def prepare(flight: Flight, engine: Engine, config: Config) -> Order:
    """Check the seal, write the intent down, say what is to be started.

    In a thread: the flight is read, and what is found comes back as an Order. Raises Unclean and
    SessionNotLive where nothing may be launched in this experiment, other ArdaemonErrors where trying again
    can help.
    """
    experiment, run = flight.experiment, flight.run
    state_now = load_or_repair(experiment)
    session = state_now.session
    require_no_unclean(experiment)
    if session.settings is None or not session.live:
        raise SessionNotLive(f"the session of {experiment.slug} is over", "arctl session start")
    record = flight.record
    if record.epoch != session.epoch:  # it was held over: the new session's settings are its own
        record = replace(record, settings=session.settings, epoch=session.epoch)
    faults = seal_faults(experiment, record, state_now, launched=False)
    if faults:
        return Order(what=Exit(ending="seal_broken"), record=record, seal_faults=faults)
    attempt = min(len(flight.before), ATTEMPTS_MAX) + 1
    environment = job_environment.environment_of(
        flight.active.environment, record.settings, experiment, run, attempt, flight.seed
    )
    environment |= job_environment.visible(flight.seat.devices)
    try:
        argv = runner.command(record.settings, environment, experiment, run)
    except Refused as error:
        return Order(what=Exit(ending="spawn_failed", error=error.message), record=record)
    make_job_folder(experiment, run, attempt)
    handle = engine.handle(run, attempt)
    with state.storage("prepare", run.folder), contextlib.suppress(FileExistsError):
        operations.mkdir(handle.folder)  # synced with run.json
    checkpoint.note(experiment, run, run.attempt(attempt), record.settings)
    launching = _launching(flight, handle, job_environment.reads(environment))
    record = replace(record, argv=argv, state=launching)
    state.write(run.record, record)
    return Order(what=_launch(flight, record, handle, environment, config), record=record)


def _launching(flight: Flight, handle: Handle, reads: tuple[str, ...]) -> Launching:
    return Launching(
        handle=handle,
        slots=flight.seat.slots,
        share=flight.seat.share,
        job=flight.run.job_name,
        vram_mb=flight.seat.vram_mb,
        reads=reads,
        attempts=flight.before,
        seed=flight.seed,
    )


def _launch(
    flight: Flight, record: RunRecord, handle: Handle, environment: dict[str, str], config: Config
) -> Launch:
    settings = record.settings
    return Launch(
        run=flight.run,
        handle=handle,
        argv=record.argv,
        environment=environment,
        cwd=str(flight.experiment.project),
        limit=settings.seconds,
        startup=settings.startup,
        ready_regex=settings.ready_regex,
        stall=settings.stall,
        settle=settings.settle,
        grace=config.grace,
        verify=config.verify,
        seat=flight.seat,
    )


def seal_faults(
    experiment: Experiment, record: RunRecord, state_now: State, *, launched: bool
) -> tuple[str, ...]:
    """Return what was changed under the seal since the submit, a line each.

    `launched`: with --exec live the file itself was run by now, and may be edited.
    """
    faults = seal.changed(experiment, state_now.contract)
    if not launched and not train_file.holds(experiment.run(record.run_id).train, record.sha256):
        faults = [*faults, f"runs/{record.run_id}/train.py is not the version that was submitted"]
    if record.seal and record.seal != seal.fingerprint(state_now.contract):
        faults = [*faults, "another seal was accepted since the submit"]
    live = record.settings.exec == "live"
    if live and not launched and train_file.current(experiment) != record.sha256:
        faults = [*faults, "train.py changed between submit and launch (--exec live runs it in place)"]
    return tuple(faults)
