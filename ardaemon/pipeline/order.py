"""The order for an attempt: the seal checked, the intent on disk, what is to be started where."""

from pathlib import Path

import msgspec
from msgspec.structs import replace

from ardaemon.checkpoints import find as checkpoint
from ardaemon.checkpoints import promote
from ardaemon.core.config import LAUNCHES_MAX, Config
from ardaemon.core.errors import Refused, SessionNotLive
from ardaemon.core.layout import Experiment
from ardaemon.core.mends import go_on
from ardaemon.core.model import Exit
from ardaemon.core.run_record import Handle, Launching, RunRecord, of_session
from ardaemon.engines.base import Engine, Launch
from ardaemon.experiment import checks, runner, script_place, seal, seal_generation, train_file, versions
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import State
from ardaemon.experiment.unclean import require_no_unclean
from ardaemon.host import durable, state
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline.attempts import make_job_folder
from ardaemon.pipeline.flight import Flight


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The next step for an attempt, and the run's record that goes with it.

    `what` is the launch; or an end, where the attempt cannot be made.
    """

    what: Launch | Exit
    record: RunRecord
    seal_faults: tuple[str, ...] = ()


def prepare(flight: Flight, engine: Engine, config: Config, started_here: StartedHere) -> Order:
    """Check the seal, write the intent down, say what is to be started.

    In a thread: the flight is read, and what is found comes back as an Order. Raises Unclean and
    SessionNotLive where nothing may be launched in this experiment, other ArdaemonErrors where trying again
    can help.
    """
    experiment, run = flight.experiment, flight.run
    current = load_or_repair(experiment)
    record = _of_session(flight, current, started_here)
    script_place.clear_live(experiment, record.settings, record.origin)  # of a run whose daemon was killed
    faults = seal_faults(experiment, record, current, launched=False)
    if faults:
        return Order(what=Exit(ending="seal_broken"), record=record, seal_faults=faults)
    promote.lead_to_best(experiment, current.best)
    attempt = min(len(flight.before), LAUNCHES_MAX - 1) + 1
    environment = job_environment.of_attempt(flight, attempt, record.settings)
    environment |= job_environment.visible(flight.seat.devices)
    try:
        argv = runner.command(record.settings, environment, experiment, run, record.origin)
    except Refused as error:
        return Order(what=Exit(ending="spawn_failed", error=error.message), record=record)
    handle = engine.handle(run, attempt)
    _lay_out(flight, handle, record)
    launching = _launching(flight, handle, job_environment.reads(environment))
    record = replace(record, argv=argv, state=launching)
    # The intent is on disk before the engine hears of it: a daemon that comes after a kill asks the engine
    # for this handle, and so finds a job whose start nobody lived to see.
    state.write(run.record, started_here.records.signed(record))
    return Order(what=_launch(flight, record, handle, environment, config), record=record)


def _of_session(flight: Flight, current: State, started_here: StartedHere) -> RunRecord:
    """Return the record with the settings of the session that is live. Raises Unclean, SessionNotLive."""
    session, record = current.session, flight.record
    require_no_unclean(flight.experiment)
    if session.settings is None or not session.live:
        raise SessionNotLive(
            f"the session of {flight.experiment.slug} is over", go_on(flight.experiment.slug)
        )
    started_here.require(flight.experiment, session)
    if (record.epoch, record.revision) == (session.epoch, session.revision):
        return record
    # Held over from an earlier session, or from before `session set`: it runs with the settings of now.
    return of_session(record, session)


def _lay_out(flight: Flight, handle: Handle, record: RunRecord) -> None:
    """Make the attempt's folders, and note what lies already where it may write: that is not its own."""
    experiment, run, settings = flight.experiment, flight.run, record.settings
    make_job_folder(experiment, run, handle.attempt, settings, record.origin)
    with state.storage("prepare", Path(handle.folder)):
        durable.make_own_folder(handle.folder, folder=False)  # synced with run.json
    checkpoint.note(experiment, run, run.attempt(handle.attempt), settings)


def _launching(flight: Flight, handle: Handle, reads: tuple[str, ...]) -> Launching:
    return Launching(
        handle=handle,
        slots=flight.seat.slots,
        share=flight.seat.share,
        job=flight.run.job_name,
        vram_mb=flight.seat.vram_mb,
        devices=flight.seat.devices,
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
        umask=flight.active.umask,
        shell=flight.active.shell,
        cwd=str(flight.experiment.project),
        limit=settings.seconds,
        startup=settings.startup,
        ready_regex=settings.ready_regex,
        stall=settings.stall,
        max_log=settings.max_log_bytes,
        settle=settings.settle,
        grace=config.grace,
        verify=config.verify,
        seat=flight.seat,
    )


def seal_faults(
    experiment: Experiment, record: RunRecord, current: State, *, launched: bool
) -> tuple[str, ...]:
    """Return what was changed under the seal since the submit, a line each.

    `launched`: with --exec live the file itself was run by now, and may be edited.
    """
    faults = [*seal.changed(experiment, current.contract), *checks.changed(experiment, current.session)]
    if not launched and not versions.put_right(experiment, record.run_id, record.sha256):
        faults = [*faults, f"runs/{record.run_id}/train.py is not the version that was submitted"]
    if not launched and record.settings != current.session.settings:  # those that this user has started
        faults = [*faults, f"runs/{record.run_id}/run.json has other settings than the session"]
    if older := seal_generation.faults(current.contract, current.session):
        faults = [*faults, *older]
    elif record.seal and record.seal != seal.fingerprint(current.contract):
        faults = [*faults, "another seal was accepted since the submit"]
    faults = [*faults, *script_place.live_faults(experiment, record.settings, record.origin)]
    live = record.settings.exec == "live"
    if live and not launched and train_file.current(experiment) != record.sha256:
        faults = [*faults, "train.py changed between submit and launch (--exec live runs it in place)"]
    return tuple(faults)
