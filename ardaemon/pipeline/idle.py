"""What an idle place may be used for in a session with --measure-noise: another launch of the best.

A launch that was begun for nothing else gives way to any run (queue/giving_way.py). Under the plain rule
there are so many that `arctl noise` has something to say; under the noise verdict they go on until the
best's mean is known well.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from ardaemon.core.layout import Experiment, run_number
from ardaemon.core.model import Best, Result, Session, Settings
from ardaemon.core.run_record import Active, Judged, RunRecord, came_to_nothing
from ardaemon.experiment import history, seal
from ardaemon.experiment.ownership import described
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import State, load
from ardaemon.judging.noise.best import worth_measuring
from ardaemon.pipeline import environment as job_environment
from ardaemon.pipeline import measures, noise_history, variables
from ardaemon.pipeline.measures import OneMore
from ardaemon.pipeline.noise_verdict import config_of

PLAIN_SEEDS = 4  # of a version under the plain rule: its noise is known to about a third then
PLAIN_SAME = 2  # launches more with the first seed: they tell what of the noise is not the seed's
GAVE_WAY_MAX = 3  # launches of a version with one seed that gave way: there is no time for it on this machine


class Like(NamedTuple):
    """How an experiment's runs are launched: as its last one was; or as its best, with that environment."""

    active: Active
    record: RunRecord | None = None


class Plan(NamedTuple):
    """The launches that idle places are to make next, and from when on a place is idle."""

    launches: tuple[OneMore, ...]
    at_once: bool  # no edit was run in this session yet
    after_s: float  # else: for so long after the last run, which is what a launch of the best takes


class Made(NamedTuple):
    """A launch of the best that was made, or is under way: its seed, and the how many-th time with that."""

    seed: int
    time: int
    gave_way: bool = False
    began: bool = True  # the job was started


def started(experiment: Experiment, environment: dict[str, str]) -> Like:
    """Return how runs are launched in a session that was started in that environment (filtered)."""
    return Like(Active(folder=str(experiment.folder), run_id="", seq=0, environment=environment))


def plan(
    experiment: Experiment, like: Like, started_here: StartedHere, key: bytes, entries: Path
) -> Plan | None:
    """Return what idle places are to be used for; None: for nothing. Changes no file.

    `key` makes the fingerprint of an environment; `entries` is the folder of the active entries.
    """
    current = load(experiment)
    session, best, settings = current.session, current.best, current.session.settings
    wanted = session.live and settings is not None and settings.measure_noise and started_here.knows(session)
    if not wanted or best is None or not best.valid or best.rerun_failed:
        return None
    assert settings is not None
    record = history.record_of(experiment.run(best.run_id))
    result = history.committed(experiment.run(best.run_id), record)
    records = [(one, history.record_of(one.run)) for one in measures.launched(experiment, best.run_id)]
    if record is None or result is None or any(_was_ended(known) for _, known in records):
        return None
    made = [_made(*one) for one in records if not measures.never_queued(experiment, *one, key, entries)]
    after = next_launches(made) if settings.verdict == "plain" else _by_noise(experiment, current, best, made)
    if best.conditions != seal.conditions(settings, current.contract) or not after:
        return None
    how = _how(like, record, current, settings, key)
    launches = (OneMore(best.run_id, best.sha256, seed, *how, time, idle=True) for seed, time in after)
    return Plan(tuple(launches), _is_before_the_first_edit(session, best, result), result.seconds)


def next_launches(made: Sequence[Made]) -> tuple[tuple[int, int], ...]:
    """Return what is left to make of a version under the plain rule: seeds, and for the how many-th time."""
    counted = [one.seed for one in made if not one.gave_way]
    seeds = [seed for seed in range(1, PLAIN_SEEDS) if seed not in counted]
    last = max((one.time for one in made if one.seed == 0), default=1)  # the run itself was the first
    same = range(last + 1, last + 1 + PLAIN_SAME - counted.count(0))
    wanted = [*((seed, 1) for seed in seeds), *((0, time) for time in same)]
    return tuple(one for one in wanted if _has_time(made, one[0]))


def _by_noise(
    experiment: Experiment, current: State, best: Best, made: Sequence[Made]
) -> tuple[tuple[int, int], ...]:
    """Return the launch that tells most about the best's mean, if that is not known well."""
    assert current.session.settings is not None
    judged = noise_history.judged(experiment, best, best.conditions, current.session.last_run)
    more = worth_measuring(judged, config_of(current.session.settings, best.primary))
    return ((more.seed, 1),) if more is not None and _has_time(made, more.seed) else ()


def _has_time(made: Sequence[Made], seed: int) -> bool:
    return sum(one.gave_way and one.began for one in made if one.seed == seed) < GAVE_WAY_MAX


def _made(launch: measures.Launched, record: RunRecord | None) -> Made:
    if record is None or not isinstance(record.state, Judged):
        return Made(launch.seed, launch.time)
    return Made(launch.seed, launch.time, came_to_nothing(record), record.state.decision.result.attempts > 0)


def _was_ended(record: RunRecord | None) -> bool:
    """Tell whether a person has ended an idle launch: then they want none."""
    if record is None or not record.idle or not isinstance(record.state, Judged):
        return False
    return record.state.decision.exit.ending in ("stopped", "cancelled")


def _is_before_the_first_edit(session: Session, best: Best, result: Result) -> bool:
    """Tell whether no run was judged in this session, or its first one alone, which began the experiment."""
    begins = result.primary.best_before is None and run_number(best.run_id) == session.last_run
    return session.counters.since_start == 0 or (session.counters.since_start == 1 and begins)


def _how(
    like: Like, record: RunRecord, current: State, settings: Settings, key: bytes
) -> tuple[RunRecord, Active]:
    """Return record and entry with this session's settings, for a launch to be made like them."""
    if like.record is None:
        environment = like.active.environment
        record = replace(
            record,
            environment_sha256=job_environment.fingerprint(environment, key),
            variables=variables.names_of(environment),
            shell=None,
            not_given=(),
        )
    session = current.session
    record = replace(
        like.record or record,
        settings=settings,
        epoch=session.epoch,
        revision=session.revision,
        seal=seal.fingerprint(current.contract),
        laid_out_by=described(key),
    )
    return record, like.active
