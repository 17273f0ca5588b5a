"""The noise-aware verdict: the values of all runs in, one decision out. Pure.

Three questions, in this order: is the candidate better, surely enough for a running budget of expected false
advances? If not, is one more launch, of it or of the best, worth more than a launch of a fresh edit? If not,
it is reverted. docs/noise.md explains the rule and shows what it does in simulated nights.
"""

import math
from collections.abc import Sequence

from ardaemon.judging.noise.belief import Belief, Unseen, Vector, once_seen, seen_entries
from ardaemon.judging.noise.edits import SHARES
from ardaemon.judging.noise.fit import fits, variance_of_effect
from ardaemon.judging.noise.plain import exact, is_young, without_noise
from ardaemon.judging.noise.posterior import Effect, effect_of, posterior, to_report
from ardaemon.judging.noise.replay import (
    State,
    best_now,
    best_run,
    is_measurable,
    measured,
    noise_of,
    replay,
)
from ardaemon.judging.noise.scales import MEANS, NONE_AT
from ardaemon.judging.noise.spread import (
    FARTHEST,
    Scale,
    Spread,
    canonical,
    in_metric,
    in_reach,
    known,
    size_in_metric,
)
from ardaemon.judging.noise.types import (
    Advance,
    BestNow,
    Confirm,
    Decision,
    Facts,
    NoiseConfig,
    Revert,
    RunValues,
    Unkept,
    Values,
    has_value,
)

FAILURES_MOST = 2  # of confirmations: one may be an accident, with the next the edit is unstable
SURELY_WORSE = 0.05  # P(better) below which a revert says "worse"; else the difference is within the noise
UNLIKELY_SHARE = 1e-3  # probability of a share of luck kept below which a look ahead leaves it out


def decide(history: Sequence[RunValues], config: NoiseConfig) -> Decision:
    """Decide about the last run of the history.

    `history`: in the order of the verdicts; the first is the baseline, the last the candidate. Where a
    session turns to this rule late, the best of that moment is the baseline. The answer is the same whatever
    the metric's unit, offset and direction.
    """
    candidate = history[-1]
    if candidate.violated:
        return Revert("constraint")
    if candidate.failures >= FAILURES_MOST:
        return Revert("unstable")
    if len(history[0].values) < config.start:
        return Confirm(history[0].run, len(history[0].values))
    if not has_value(candidate):
        return Revert("no_value")
    history = measured(history)
    if len(history) == 1:
        return Advance()  # nothing before it has a value: whatever it has is the best
    best = best_run(history[:-1])
    config = in_reach(history[0].values, best.values, config)
    noise = noise_of(history, config)
    if noise is None:
        return without_noise(history, config)
    if noise.exact:
        return exact(history, noise, config)
    seeds = 1 + max(len(candidate.values), len(best.values))
    return _judged(history, noise, replay(history[:-1], noise, seeds, config), config)


def _judged(history: Sequence[RunValues], noise: Spread, state: State, config: NoiseConfig) -> Decision:
    """Decide with the noise known and all earlier runs replayed."""
    candidate = history[-1]
    values = state.scale.units(canonical(candidate.values, config))
    effects = state.edits.effects()
    min_delta = min(config.min_delta / config.unit / state.scale.sigma, FARTHEST)
    after = posterior(fits(state.belief, SHARES, values), effects, state.edits.shares)
    reported = to_report(state.reported, values, [0], effects, state.edits.shares)
    effect = effect_of(after, min_delta)
    best = best_now(history[:-1], noise, state, config)
    facts = _facts(candidate, best, state.scale, reported, effect, config)
    good = facts.p_better >= config.p_floor and _within_budget(facts, config)
    if good and not is_young(values, facts, config):
        return Advance(facts)
    worth = good or effect.gain_if_real >= _price(effects, config)
    if worth and len(candidate.values) < config.max_attempts:
        return _another(candidate, values, state, after.shares, config, facts)
    return Revert("unsure" if good else _reason(facts, len(known(values)), config), facts)


def _within_budget(facts: Facts, config: NoiseConfig) -> bool:
    """Tell whether the expected false advances, this one among them, stay within their share of all."""
    best = facts.best
    return best.expected_false + 1 - facts.p_better <= config.budget * (best.advances + 1)


def _price(effects: Vector, config: NoiseConfig) -> float:
    """Return, in sigmas, what a launch would bring if it were spent on a fresh edit."""
    fresh = sum(-centre * weight for centre, weight in zip(MEANS[:NONE_AT], effects[:NONE_AT], strict=True))
    return max(config.price * fresh, config.price_floor)


def _another(
    candidate: RunValues, values: Values, state: State, shares: Vector, config: NoiseConfig, facts: Facts
) -> Confirm:
    """Launch the candidate or the best again: whichever makes the effect better known."""
    best, seen = state.best, seen_entries(values)
    chosen = candidate
    if is_measurable(best, config):
        with_best = _variance(once_seen(state.belief, 1 + len(best.values)), seen, shares)
        with_candidate = _variance(state.belief, [*seen, 1 + len(candidate.values)], shares)
        chosen = best if with_best < with_candidate else candidate
    return Confirm(chosen.run, len(chosen.values), facts)


def _variance(belief: Belief, entries: Sequence[int], shares: Vector) -> float:
    """Return the variance that the effect will have, on average over the shares of luck that may be kept."""
    return sum(
        weight * variance_of_effect(belief, share, entries)
        for weight, share in zip(shares, SHARES, strict=True)
        if weight > UNLIKELY_SHARE
    )


def _facts(
    candidate: RunValues, best: BestNow, scale: Scale, reported: Unseen, effect: Effect, config: NoiseConfig
) -> Facts:
    """Return what is known of the candidate, in the metric's unit and sign."""
    return Facts(
        p_better=effect.p_better,
        gain=size_in_metric(-effect.mean * scale.sigma, config),
        gain_sd=size_in_metric(math.sqrt(effect.variance) * scale.sigma, config),
        mean=in_metric(scale.value(reported.mean[0]), config),
        sd=size_in_metric(math.sqrt(max(0.0, reported.cov[0][0])) * scale.sigma, config),
        first=in_metric(known(canonical(candidate.values, config))[0], config),
        attempts=len(candidate.values),
        best=best,
    )


def _reason(facts: Facts, values: int, config: NoiseConfig) -> Unkept:
    """Return why a candidate is reverted that more launches would not make worth keeping."""
    if values > 1 and facts.p_better >= 0.5:
        return "unsure"
    if config.min_delta and facts.gain > 0 and facts.p_better < SURELY_WORSE:
        return "too_small"
    sign = 1 if config.direction == "min" else -1
    if values > 1 and sign * facts.first < sign * facts.best.mean:
        return "looked_better"
    return "worse" if facts.p_better < SURELY_WORSE else "within_noise"
