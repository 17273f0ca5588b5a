"""The commit of a measurement: a value more of the best, and nothing else that a verdict would change."""

import dataclasses
from collections.abc import Sequence

from msgspec.structs import replace

from ardaemon.core import limits
from ardaemon.core.interval import mean_of
from ardaemon.core.line import number
from ardaemon.core.model import Best, Counters, Result, SeedValue, Session, Settings, Termination
from ardaemon.core.run_record import NOTHING, Decision
from ardaemon.experiment import seal
from ardaemon.experiment.state import State, hours_of
from ardaemon.host import state
from ardaemon.judging import verdict
from ardaemon.judging.noise import line
from ardaemon.judging.noise.best import standing, threshold
from ardaemon.judging.noise.drift import drift
from ardaemon.judging.noise.types import RunValues
from ardaemon.pipeline import noise_history
from ardaemon.pipeline.ended import Ended
from ardaemon.pipeline.launch_values import measured
from ardaemon.pipeline.noise_verdict import config_of, noise_line
from ardaemon.pipeline.outcome import fit, result_of, unclean_of


def decision_of(ended: Ended, current: State, judged: verdict.Judgement) -> Decision:
    """Return everything that the second stage will write; a value under unfair conditions is none."""
    value = measured(ended, judged)
    stamp = ended.exit.ended_at or state.now()
    best = _with_value(ended, current, value)
    history = _history(ended, current, best or current.best)
    if best is not None:
        best = replace(best, value=_estimate(history, ended.record.settings, best))
    counters = _counters(ended, current.session)
    why = current.session.terminated_by
    if current.session.live and ended.is_of(current.session):
        why = _termination(ended, current, best or current.best, history, counters, judged)
    return Decision(
        result=fit(_result(result_of(ended, judged, stamp), value, best or current.best, why)),
        row="",
        counters=counters,
        exit=ended.exit,
        best=best,
        live=current.session.live and why is None,
        terminated_by=why,
        peaks=current.session.peaks,
        generation=current.session.generation,
        noise=_noise(ended, current, best or current.best, history, counters),
        drift=_drift(ended, current, best, history, value),
        unclean=unclean_of(ended.run.run_id, ended.exit, ended.slots, ended.boot_id, stamp),
    )


def _with_value(ended: Ended, current: State, one: SeedValue) -> Best | None:
    """Return the best with one value more; None where another run has become the best meanwhile.

    A launch that was never made, or gave way, leaves no gap: its seed may be launched again. The values of
    other conditions go: a person has accepted that they cannot be compared.
    """
    best, settings = current.best, ended.record.settings
    if best is None or best.run_id != ended.record.of or ended.exit.ending in NOTHING:
        return None
    conditions = seal.conditions(settings, current.contract)
    if best.conditions != conditions and settings.verdict == "plain":
        return None
    if best.conditions != conditions:
        best = replace(best, conditions=conditions, values=(None,) * one.seed, earlier=(), p_better=None)
    else:
        best = replace(best, values=noise_history.values_of(best))
    values = [*best.values, *[None] * (1 + one.seed - len(best.values))]
    if values[one.seed] is not None:
        return None  # the first seed once more tells nothing of the luck
    values[one.seed] = one.value
    failed = best.rerun_failed or one.status in ("crash", "timeout", "invalid")
    return replace(best, values=tuple(values), rerun_failed=failed, measured=best.measured + 1)


def _history(ended: Ended, current: State, best: Best | None) -> list[RunValues]:
    """Return what a noise verdict replays, the new value in it: read once, for it is hundreds of files."""
    verdicts = {settings.verdict for settings in (ended.record.settings, ended.settings_in(current.session))}
    return _judged(ended, current, best) if best is not None and "noise" in verdicts else []


def _judged(ended: Ended, current: State, best: Best) -> list[RunValues]:
    newest = current.session.last_run
    return noise_history.judged(ended.experiment, best, best.conditions, newest)


def _estimate(history: Sequence[RunValues], settings: Settings, best: Best) -> float:
    """Return the best's mean over seeds, as the noise verdict corrects it; the plain rule knows one value."""
    if settings.verdict == "plain":
        return best.value
    now = standing(history, config_of(settings, best.primary))
    if now is not None:
        return now.mean
    known = [value for value in best.values if value is not None]
    return mean_of(known) if known else best.value


def _noise(
    ended: Ended, current: State, best: Best | None, history: Sequence[RunValues], counters: Counters
) -> str:
    settings = ended.settings_in(current.session)
    if best is None or settings.verdict != "noise":
        return ""
    return noise_line(history, config_of(settings, best.primary), counters)


def _drift(
    ended: Ended, current: State, best: Best | None, history: Sequence[RunValues], one: SeedValue
) -> str:
    """Say that the value was not to be expected, by what was known before it."""
    before = current.best
    if best is None or before is None or best.conditions != before.conditions or one.value is None:
        return ""
    known = noise_history.values_of(before)
    runs = [dataclasses.replace(run, values=known) if run.run == best.run_id else run for run in history]
    far = drift(runs, one.seed, one.value, config_of(ended.record.settings, best.primary))
    return "" if far is None else line.drift_line(ended.run.run_id, one.seed, far)


def _counters(ended: Ended, session: Session) -> Counters:
    """Count the launches; those of an earlier session take nothing of this one's limits."""
    counters = session.counters
    if not ended.is_of(session):
        return counters
    return replace(
        counters,
        gpu_seconds=counters.gpu_seconds + ended.all_gpu_seconds,
        launches=counters.launches + ended.attempts,
        confirmations=counters.confirmations + ended.attempts,
    )


def _termination(
    ended: Ended,
    current: State,
    best: Best | None,
    history: Sequence[RunValues],
    counters: Counters,
    judged: verdict.Judgement,
) -> Termination | None:
    settings = ended.settings_in(current.session)
    if judged.status == "unclean":
        return "unclean"
    if ended.manual:
        return "manual"
    if best is not None and _can_be_reached(settings, best) and _is_met(history, settings, best):
        return "primary_threshold"
    return next(iter(limits.reached(settings, counters, hours_of(current.session))), None)


def is_reached(ended: Ended, current: State, settings: Settings, best: Best) -> bool:
    """Tell whether the best has surely met the threshold of a session with --verdict noise."""
    return _can_be_reached(settings, best) and _is_met(_judged(ended, current, best), settings, best)


def _can_be_reached(settings: Settings, best: Best) -> bool:
    return settings.threshold is not None and settings.verdict == "noise" and best.valid


def _is_met(history: Sequence[RunValues], settings: Settings, best: Best) -> bool:
    assert settings.threshold is not None, "it can be reached"
    return threshold(history, settings.threshold, config_of(settings, best.primary)).met


def _result(result: Result, one: SeedValue, best: Best | None, why: Termination | None) -> Result:
    shown = "no value" if one.value is None else f"{result.primary.name} {number(one.value)}"
    end = "" if result.status == "ok" else f": {_end(result)}"
    return replace(
        result,
        improved_over_best=False,
        values=(one,),
        said=f"{shown} with seed {one.seed}{end}",
        best=best.run_id if best is not None else None,
        best_value=best.value if best is not None else None,
        should_terminate=why is not None,
        terminated_by=why,
    )


def _end(result: Result) -> str:
    """Say how a launch without a value ended, and where to look."""
    look = "" if result.status == "interrupted" else f"; arctl tail {result.run_id}"
    return f"{result.reason or result.status}{look}"
