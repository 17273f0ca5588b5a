"""The noise verdict at a run's commit: its launches and the history in, what becomes of the run out.

The decision itself is judging/noise. Here are the values it is given, and what follows from it: an advance, a
revert, or another launch, of the run or of the best.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from ardaemon.core import limits
from ardaemon.core.interval import mean_of
from ardaemon.core.layout import Experiment, measure_name
from ardaemon.core.model import Best, Counters, Primary, Result, SeedValue, Session, Settings
from ardaemon.core.reason import SHORTER, Reason
from ardaemon.experiment import seal
from ardaemon.experiment.state import State, hours_of
from ardaemon.judging import verdict
from ardaemon.judging.noise import line
from ardaemon.judging.noise.best import standing
from ardaemon.judging.noise.decide import decide
from ardaemon.judging.noise.types import Advance, Confirm, NoiseConfig, Revert, RunValues
from ardaemon.pipeline import noise_history
from ardaemon.pipeline.ended import Ended
from ardaemon.pipeline.launch_values import all_of, confirmations, measured


class Ruling(NamedTuple):
    """What the noise verdict says of a run that is over; `confirm` is the seed of its own next launch."""

    decision: Advance | Revert | None = None
    confirm: int | None = None
    best_seed: int | None = None  # the best is to be launched with this one before anything is decided
    history: tuple[RunValues, ...] = ()  # what was replayed, the run itself last
    values: tuple[SeedValue, ...] = ()


def config_of(settings: Settings, primary: Primary) -> NoiseConfig:
    """Return the settings as the decision takes them."""
    return NoiseConfig(
        direction=primary.direction,
        start=min(NoiseConfig().start, settings.max_attempts),
        min_delta=settings.min_delta,
        budget=settings.noise_budget,
        max_attempts=settings.max_attempts,
    )


def applies(ended: Ended, current: State, judged: verdict.Judgement) -> bool:
    """Tell whether the noise decides about this run, and not the table of verdicts alone.

    A first launch that failed, a run that breaks a constraint, a baseline and the first run that keeps the
    constraints are judged as ever. So is a rerun of the best: it decides nothing.
    """
    if ended.record.settings.verdict != "noise" or ended.record.measure or ended.record.of:
        return False
    best = current.best
    if best is None or not best.valid:
        return False
    if confirmations(ended.before) and judged.status in ("crash", "timeout", "invalid"):
        return not ended.seal_faults
    return judged.status == "ok" and judged.valid


def rule(ended: Ended, current: State, judged: verdict.Judgement) -> Ruling:
    """Decide about the run. Where its end is wanted, or that of its session, nothing is launched any more."""
    values = confirmations(ended.before)
    if ended.cut_off:
        return Ruling(Revert("undecided"), values=values)
    values = (*values, measured(ended, judged))
    if values[-1].value is None:
        return _failed(ended, current, values)
    history = _history(ended, current, values)
    config = _config(ended, current, history[0])
    if (seed := _to_come(ended, history[0], config)) is not None and _goes_on(ended, current):
        return Ruling(best_seed=seed, values=values)
    decision = decide(history, config)
    if not isinstance(decision, Confirm):
        return Ruling(decision, values=values, history=tuple(history))
    if not _goes_on(ended, current):
        return Ruling(Revert("undecided", decision.facts), values=values)
    if decision.which == ended.run.run_id:
        return Ruling(confirm=decision.seed, values=values)
    return Ruling(best_seed=decision.seed, values=values)


def _history(ended: Ended, current: State, values: tuple[SeedValue, ...]) -> list[RunValues]:
    assert current.best is not None
    earlier = history_of(ended.experiment, current.best, ended.record.settings, current)
    earlier = [run for run in earlier if run.run != ended.run.run_id]
    candidate = RunValues(
        run=ended.run.run_id,
        values=noise_history.in_order(values),
        failures=sum(one.value is None for one in values),
    )
    return [*earlier, candidate]


def history_of(experiment: Experiment, best: Best, settings: Settings, current: State) -> list[RunValues]:
    """Return the runs that a verdict by these settings replays; hundreds of files are read for it."""
    conditions = seal.conditions(settings, current.contract)
    return noise_history.judged(experiment, best, conditions, current.session.last_run)


def _config(ended: Ended, current: State, first: RunValues) -> NoiseConfig:
    """Return the settings of the decision. The `first` version is launched anew only if it is still the best.

    Else it keeps the values that it has: they may be few, if --max-attempts was raised after it was judged.
    """
    config = config_of(ended.record.settings, current.contract.primary)
    is_best = current.best is not None and current.best.run_id == first.run
    return config if is_best else dataclasses.replace(config, start=0)


def _to_come(ended: Ended, first: RunValues, config: NoiseConfig) -> int | None:
    """Return the seed of a launch that is under way and belongs to the first ones; None if there is none.

    The noise is first measured with these. On another place a launch with a later seed may have ended before.
    """
    gaps = (seed for seed, value in enumerate(first.values[: config.start]) if value is None)
    return next((seed for seed in gaps if measure_name(first.run, seed) in ended.under_way), None)


def _goes_on(ended: Ended, current: State) -> bool:
    """Tell whether another launch may be made. It would be made as the session of now makes them.

    So a run of an earlier session, with other settings, gets none: its values cannot be compared with those.
    """
    settings = current.session.settings
    if not ended.goes_on or settings is None or not _has_room(ended, current.session, settings):
        return False
    own, now = (seal.conditions(one, current.contract) for one in (ended.record.settings, settings))
    return own == now


def _has_room(ended: Ended, session: Session, settings: Settings) -> bool:
    """Tell whether the session's limits leave room for another launch.

    Its counters have the launches of a run only once it is judged: till then a single run could be launched
    for hours after the session's end.
    """
    launches, gpu_seconds = ended.launches_beside, 0.0
    if ended.is_of(session):
        launches, gpu_seconds = launches + ended.attempts, ended.all_gpu_seconds
    counters = replace(
        session.counters,
        launches=session.counters.launches + launches,
        gpu_seconds=session.counters.gpu_seconds + gpu_seconds,
    )
    return limits.allow_a_launch(settings, counters, hours_of(session))


def _failed(ended: Ended, current: State, values: tuple[SeedValue, ...]) -> Ruling:
    """Decide after a launch without a value: one such may be an accident, and the next seed tells."""
    without = [one for one in values if one.value is None]
    if len(without) > 1:
        is_disturbed = all(one.status == "ok" for one in without)  # tainted: the edit is not to blame
        return Ruling(Revert("disturbed" if is_disturbed else "unstable"), values=values)
    if not _goes_on(ended, current):
        return Ruling(Revert("undecided"), values=values)
    return Ruling(confirm=values[-1].seed + 1, values=values)


def ruled(judged: verdict.Judgement, ruling: Ruling, shorter: bool) -> verdict.Judgement:
    """Return the judgement with the decision in it; `shorter`: a train.py with equal values wins by that."""
    decision = ruling.decision
    assert decision is not None
    improved = isinstance(decision, Advance) or shorter
    reason = judged.reason if isinstance(decision, Advance) else Reason("", SHORTER)
    values = [one.value for one in ruling.values if one.value is not None]
    value = mean_of(values) if values else None
    before = decision.facts.best.mean if decision.facts is not None else judged.primary.best_before
    delta = value - before if value is not None and before is not None else None
    # A launch that failed may have ended before it printed what a constraint is about: that breaks none.
    told = tuple(one for one in judged.constraints if judged.status == "ok" or one.value is not None)
    return replace(
        judged,
        status="ok",
        verdict="advance" if improved else "revert",
        improved=improved,
        reason=reason if improved else Reason("", said(judged.primary.name, decision)),
        constraints=told,
        primary=replace(judged.primary, value=value, best_before=before, delta=delta),
    )


def is_equal(ended: Ended, best: Best, value: float) -> bool:
    """Tell whether each launch of the run gave what the best gave with that seed."""
    known = dict(enumerate(noise_history.values_of(best)))
    given = {**{one.seed: one.value for one in confirmations(ended.before)}, ended.seed: value}
    return all(known.get(seed) == one for seed, one in given.items())


def noise_line(history: Sequence[RunValues], config: NoiseConfig, counters: Counters) -> str:
    """Return what a session says of the noise; "" as long as it is not known."""
    now = standing(history, config)
    return "" if now is None else line.status_line(now, counters.launches, counters.confirmations)


def said(metric: str, decision: Advance | Revert) -> str:
    """Return the verdict in a line, without the run's name."""
    return line.verdict_line("", metric, decision).partition(": ")[2]


def told(result: Result, ruling: Ruling) -> Result:
    """Return the result with what the noise verdict knows of the run."""
    decision = ruling.decision
    assert decision is not None
    if isinstance(decision, Revert) and result.verdict == "advance":
        mean = decision.facts.mean if decision.facts is not None else None
        shorter = f"{result.primary.name} is {SHORTER}"
        return replace(result, said=shorter, values=ruling.values, estimate=mean)
    result = replace(result, said=said(result.primary.name, decision), values=ruling.values)
    facts = decision.facts
    if facts is None:
        return result
    return replace(
        result,
        p_better=facts.p_better,
        gain=facts.gain,
        gain_sd=facts.gain_sd,
        estimate=facts.mean,
        estimate_sd=facts.sd,
        noise=facts.best.noise,
        df=facts.best.df,
    )


def unruled(result: Result, ended: Ended, judged: verdict.Judgement) -> Result:
    """Return the result of a run that was judged without statistics, with what each of its launches measured.

    It was launched again, and the last launch broke a constraint, or was interrupted.
    """
    values = all_of(ended, judged)
    broken = judged.status == "ok" and any(not one.ok for one in judged.constraints)
    said = line.broken(ended.attempts, ended.seed) if values and broken else ""
    return replace(result, said=said, values=values)
