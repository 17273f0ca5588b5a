"""The order for an attempt: the seal checked, the intent on disk, what is to be started where."""

import contextlib

from msgspec.structs import replace

from ardaemon.checkpoints import find as checkpoint
from ardaemon.core.config import ATTEMPTS_MAX, Config
from ardaemon.core.errors import Refused, SessionNotLive
from ardaemon.core.model import Exit
from ardaemon.core.run_record import Handle, Launching, Queued
from ardaemon.engines.base import Engine, Launch
from ardaemon.experiment import runner, seal, train_file
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.state import State
from ardaemon.experiment.unclean import require_no_unclean
from ardaemon.host import operations, state
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline.attempts import put_aside
from ardaemon.pipeline.flight import Flight


def prepare(flight: Flight, engine: Engine, config: Config) -> Launch | Exit:
    """Check the seal, write the intent down, say what is to be started."""
    experiment, run = flight.experiment, flight.run
    found = load_or_repair(experiment)
    session = found.session
    require_no_unclean(experiment)
    if session.settings is None or not session.live:
        raise SessionNotLive(f"the session of {experiment.slug} is over", "arctl session start")
    if flight.record.epoch != session.epoch:  # it was held over: the new session's settings are its own
        flight.record = replace(flight.record, settings=session.settings, epoch=session.epoch)
    record = flight.record
    faults = seal_faults(flight, found)
    if faults:
        return Exit(ending="seal_broken")
    attempt = min(record.state.attempts if isinstance(record.state, Queued) else 0, ATTEMPTS_MAX) + 1
    environment = job_environment.environment_of(
        flight.active.environment, record.settings, experiment, run, attempt
    )
    environment |= job_environment.visible(flight.devices)
    try:
        argv = runner.command(record.settings, environment, experiment, run)
    except Refused as error:
        return Exit(ending="spawn_failed", error=error.message)
    if attempt > 1:
        put_aside(run, attempt - 1)
    handle = engine.handle(run, attempt)
    with state.storage("prepare", run.folder), contextlib.suppress(FileExistsError):
        operations.mkdir(handle.folder)  # synced with run.json
    checkpoint.note(experiment, run, run.attempt(attempt), record.settings)
    flight.record = replace(
        record, argv=argv, state=_launching(flight, handle, job_environment.reads(environment))
    )
    state.write(run.record, flight.record)
    return _order(flight, handle, argv, environment, config)


def _launching(flight: Flight, handle: Handle, reads: tuple[str, ...]) -> Launching:
    return Launching(
        handle=handle,
        slots=flight.slots,
        share=flight.shares,
        vram_mb=flight.vram_mb,
        reads=reads,
        again=flight.again,
    )


def _order(
    flight: Flight, handle: Handle, argv: tuple[str, ...], environment: dict[str, str], config: Config
) -> Launch:
    settings = flight.record.settings
    return Launch(
        run=flight.run,
        handle=handle,
        argv=argv,
        environment=environment,
        cwd=str(flight.experiment.project),
        limit=settings.seconds,
        startup=settings.startup,
        ready_regex=settings.ready_regex,
        stall=settings.stall,
        settle=settings.settle,
        grace=config.grace,
        verify=config.verify,
    )


def seal_faults(flight: Flight, found: State) -> tuple[str, ...]:
    """What was changed under the seal since the submit; kept with the flight."""
    faults = seal.changed(flight.experiment, found.contract)
    if flight.record.seal and flight.record.seal != seal.fingerprint(found.contract):
        faults = [*faults, "another seal was accepted since the submit"]
    live = flight.record.settings.exec == "live"
    if live and flight.exit is None and train_file.current(flight.experiment) != flight.record.sha256:
        faults = [*faults, "train.py changed between submit and launch (--exec live runs it in place)"]
    flight.seal_faults = tuple(faults)
    return flight.seal_faults
