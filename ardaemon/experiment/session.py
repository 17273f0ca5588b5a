"""Start and stop a session."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from ardaemon.core import lost_runs
from ardaemon.core.errors import Refused
from ardaemon.core.layout import ORIGINAL, Experiment, run_name
from ardaemon.core.mends import CANCELLED_MAX, cancel
from ardaemon.core.model import Session, Settings
from ardaemon.core.protocol import SessionStart
from ardaemon.experiment import chain, checks, committed_last, generation, max_log, placing, runner, seal
from ardaemon.experiment.default_runner import DefaultRunner
from ardaemon.experiment.fresh import finish_fresh, original, stamp, without_original
from ardaemon.experiment.inherited import Chosen, choose
from ardaemon.experiment.ready import require_same_primary, version_to_restore
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.restore import put_back
from ardaemon.experiment.settings import check
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import State, hours_of, load
from ardaemon.experiment.unclean import require_no_unclean
from ardaemon.host import state


class Started(NamedTuple):
    """A new session, the names of what it has from the last one, and what a person should know of it."""

    session: Session
    inherited: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


def start(
    experiment: Experiment,
    params: SessionStart,
    active: Sequence[str],
    started_here: StartedHere,
    require_possible: Callable[[Settings], None],
) -> Started:
    """Start a session with new counters, and return it; train.py becomes what `resume` says.

    `active` are the runs of the experiment that are queued or running; `require_possible` raises UsageError
    for what this machine can never give. Raises UsageError for a wrong setting and Refused if the
    circumstances are wrong; nothing has changed then.
    """
    current = load_or_repair(experiment, without_results=True)
    if params.resume != "fresh":
        lost_runs.require(experiment, current.session.settings is not None)
    went_back = _went_back(experiment, current.session)
    mine = started_here.knows(current.session)
    default_runner = DefaultRunner.of(experiment, params.environment, current.contract.origin)
    chosen = choose(experiment.slug, current, params, mine, default_runner)
    check(chosen.settings)
    require_possible(chosen.settings)
    if params.chain is not None:
        chain.require_room(experiment, params.chain, params.force)
    _require_startable(experiment, current, params, chosen.settings, mine)
    sealed = checks.sealed(experiment, chosen.settings)
    doubts = max_log.doubts(experiment, chosen.settings)
    begun = without_original(experiment) if params.resume == "fresh" else ()
    if params.resume == "fresh":
        current = _fresh(experiment, current, active)
    require_same_primary(experiment.slug, current)
    _require_comparable(current, chosen)
    if params.resume == "revert":
        current = _revert(experiment, current)
    session = replace(_started(current, params, chosen), checks_sealed=sealed)
    session = started_here.signed(committed_last.accepted(experiment, session, started_here.records))
    if params.chain is not None:  # first: after a kill in between the same command can be given again
        session = replace(session, chain=chain.begin(experiment, params.chain))
    generation.write(experiment, session)
    slips = checks.slips(chosen.settings, experiment.project)
    warnings = (*chosen.warnings, *default_runner.warnings, *slips, *went_back, *doubts, *begun)
    return Started(session, chosen.inherited, warnings, default_runner.said)


def _went_back(experiment: Experiment, session: Session) -> tuple[str, ...]:
    """Return a line if the session that a person goes on from is a copy from before."""
    if not generation.is_older(experiment, session):
        return ()
    before = run_name(session.last_run)
    return (f"{experiment.slug} goes on from a copy from before, with {before} as its last run",)


def _require_startable(
    experiment: Experiment, current: State, params: SessionStart, settings: Settings, mine: bool
) -> None:
    if current.session.live and mine:
        raise Refused(
            f"a session of {experiment.slug} is live already",
            "change it with arctl session set; or arctl session stop, then start again",
        )
    require_no_unclean(experiment)
    if not generation.is_older(experiment, current.session):
        # Else no way is left: nobody can accept a seal before he goes on from this session. A run asks again.
        seal.require(experiment, current.contract, current.session)
    runner.program(settings.runner, params.environment, str(experiment.project))
    checks.require_programs(settings, params.environment, str(experiment.project))


def _started(current: State, params: SessionStart, chosen: Chosen) -> Session:
    """Return the session as it begins: live, under a new number, its own counters at 0."""
    return replace(
        current.session,
        settings=chosen.settings,
        baseline_acknowledged=chosen.acknowledged,
        resume_mode=params.resume,
        live=True,
        terminated_by=None,
        started_at=state.now(),
        epoch=current.session.epoch + 1,
        revision=0,
        noise="",  # it counts the launches of the session before; the first verdict says it anew
        drift="",
        conditions=seal.conditions(chosen.settings, current.contract),
        counters=replace(
            current.session.counters,
            since_start=0,
            plateau=0,
            failures=0,
            gpu_seconds=0.0,
            launches=0,
            confirmations=0,
        ),
    )


def _require_comparable(current: State, chosen: Chosen) -> None:
    """Raise Refused if the best was measured under other conditions and nobody has said to compare."""
    best = current.best
    if best is None or chosen.acknowledged or not best.conditions:
        return
    if best.conditions != seal.conditions(chosen.settings, current.contract):
        raise Refused(
            f"the best ({best.value:.6g} @ {best.run_id}) was measured under other settings or another seal",
            "keep it as the one to beat with --ack-baseline, or measure anew with --resume fresh --yes",
        )


def _revert(experiment: Experiment, current: State) -> State:
    """Put the best back into train.py; an edit that stands there is archived first."""
    target = version_to_restore(experiment, current)
    is_there, _ = put_back(experiment, current, target)
    if not is_there:
        return current
    return State(current.contract, replace(current.session, placed=target), current.best, current.warnings)


def require_over(experiment: Experiment, active: Sequence[str]) -> None:
    """Raise Refused if runs of the experiment are queued or running, or launches without a verdict."""
    if active:
        more = f" and {len(active) - CANCELLED_MAX} more" if len(active) > CANCELLED_MAX else ""
        raise Refused(
            f"queued or running in {experiment.slug}: {', '.join(active[:CANCELLED_MAX])}{more}",
            f"wait for them, or end them: {cancel(active, experiment.slug)}",
        )


def _fresh(experiment: Experiment, current: State, active: Sequence[str]) -> State:
    require_over(experiment, active)
    if lost_runs.are_gone(experiment) or without_original(experiment):
        with state.storage("read", experiment.run(ORIGINAL).train):
            # Without an original nothing can begin anew: refuse before anything is moved.
            original(experiment, experiment.runs, experiment.folder)
    else:
        placing.kept(experiment, ORIGINAL)
    intent = replace(current.session, archiving=stamp(), live=False)
    generation.write(experiment, intent)
    finish_fresh(experiment, intent)
    fresh = load(experiment)
    fresh.warnings.extend(current.warnings)
    return fresh


def forget_delivered(experiment: Experiment, delivered: Collection[str]) -> None:
    """Take runs off the list from which `arctl wait --any` delivers verdicts."""
    session = state.read(experiment.session, Session)
    if session is None or generation.is_older(experiment, session):
        return  # nothing is merged into a copy from before
    if not {*session.undelivered}.isdisjoint(delivered):
        undelivered = tuple(run_id for run_id in session.undelivered if run_id not in delivered)
        generation.write(experiment, replace(session, undelivered=undelivered))


def remember_run(experiment: Experiment, number: int) -> None:
    """Write down that the number was used, so that no later run gets it: its own folder is gone."""
    session = load_or_repair(experiment).session
    if session.last_run < number:
        generation.write(experiment, replace(session, last_run=number))


def expire(experiment: Experiment, current: State, started_here: StartedHere) -> State:
    """Return the state, its session ended if the hours that it may last are over; asked at each submit.

    A session that this user has not started is left as it is: it takes no run anyway.
    """
    session = current.session
    most = session.settings.max_hours if session.settings is not None else None
    if not session.live or most is None or hours_of(session) < most or not started_here.knows(session):
        return current
    over = replace(session, live=False, terminated_by="max_hours")
    generation.write(experiment, over)
    return State(current.contract, over, current.best, current.warnings)


def stop(experiment: Experiment) -> Session:
    """End the session. The caller interrupts the runs that are at work."""
    current = load_or_repair(experiment, without_results=True)
    if not current.session.live:
        return current.session
    session = replace(current.session, live=False, terminated_by="manual")
    generation.write(experiment, session)
    return session
