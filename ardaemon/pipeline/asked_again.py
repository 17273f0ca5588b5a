"""What a person wants launched once more: `arctl rerun` and `arctl noise`."""

from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from ardaemon.core.config import LAUNCHES_MAX, Config
from ardaemon.core.errors import Refused
from ardaemon.core.gpus import Inventory
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Result
from ardaemon.core.protocol import Rerun, Submit
from ardaemon.core.run_record import Active, came_to_nothing
from ardaemon.experiment import history, seal
from ardaemon.experiment.ownership import described
from ardaemon.experiment.ready import require_ready
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import State
from ardaemon.experiment.vanished import require_newest
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline import noise_history, variables
from ardaemon.pipeline.measures import Launched, OneMore, launched, never_queued
from ardaemon.pipeline.need import need


class Caller(NamedTuple):
    """What the daemon knows when somebody asks: its settings, its keys, the machine's GPUs."""

    config: Config
    key: bytes
    started_here: StartedHere
    inventory: Inventory | None
    entries: Path  # the folder of active runs


def launches(experiment: Experiment, run_id: str, params: Rerun, caller: Caller) -> list[OneMore]:
    """Return the launches that are wanted, each with a seed that the version has no launch with.

    Then those with the first seed once more. Raises Refused where the run has no value, or the experiment
    went back, and SessionNotLive.
    """
    current = load_or_repair(experiment)
    require_newest(experiment, current.session)
    settings = require_ready(experiment, current, caller.started_here)
    run = experiment.run(run_id)
    record = history.record_of(run)
    result = history.committed(run, record)
    if record is None or record.of or result is None or result.primary.value is None:
        raise Refused(f"{run_id} has no value that another launch could be compared with", "arctl status")
    environment = job_environment.filtered(params.environment, caller.config)
    submit = Submit(project=params.project, submit_id="", environment=environment)
    like = replace(
        record,
        settings=settings,
        epoch=current.session.epoch,
        revision=current.session.revision,
        seal=seal.fingerprint(current.contract),
        environment_sha256=job_environment.fingerprint(environment, caller.key),
        variables=variables.names_of(environment),
        need=need(settings, submit, caller.inventory),
        laid_out_by=described(caller.key),
        shell=params.shell,
        not_given=(),
    )
    active = Active(
        folder=str(experiment.folder),
        run_id=run_id,
        seq=0,
        environment=environment,
        umask=params.umask,
        shell=params.shell,
    )
    used, repeated = _used(experiment, current, run_id, result, caller)
    seeds = _free(used, params.seeds)
    times = range(repeated + 1, repeated + 1 + params.same)
    return [
        *(OneMore(run_id, record.sha256, seed, like, active) for seed in seeds),
        *(OneMore(run_id, record.sha256, 0, like, active, time) for time in times),
    ]


def _used(
    experiment: Experiment, current: State, run_id: str, result: Result, caller: Caller
) -> tuple[set[int], int]:
    """Return the seeds that the version was launched with, and how often it was with the first one."""
    best = current.best
    values = noise_history.by_seed(result)
    if best is not None and best.run_id == run_id:
        values = max(values, noise_history.values_of(best), key=len)
    used, times = set(range(len(values))), 1
    for one in launched(experiment, run_id):
        if one.seed and _is_free_again(experiment, one, caller):
            continue
        used.add(one.seed)
        times = max(times, one.time) if one.seed == 0 else times
    return used, times


def _is_free_again(experiment: Experiment, one: Launched, caller: Caller) -> bool:
    """Tell whether a launch came to nothing, or was laid out here and never queued (a full disk, a kill)."""
    record = history.record_of(one.run)
    if record is None or came_to_nothing(record):
        return record is not None
    return never_queued(experiment, one, record, caller.key, caller.entries)


def _free(used: set[int], count: int) -> list[int]:
    free = [seed for seed in range(LAUNCHES_MAX) if seed not in used][:count]
    if len(free) < count:
        raise Refused(f"the version was launched with {len(used)} seeds, that is enough", "arctl noise")
    return free
