"""Decisions that need no statistics: where the noise is not known yet, and where there is none. Pure."""

from collections.abc import Sequence

from ardaemon.judging.noise.replay import best_now, best_run
from ardaemon.judging.noise.spread import Spread, beyond, canonical, in_metric, known, mean
from ardaemon.judging.noise.types import (
    Advance,
    Confirm,
    Decision,
    Facts,
    NoiseConfig,
    Revert,
    RunValues,
    Values,
)


def without_noise(history: Sequence[RunValues], config: NoiseConfig) -> Decision:
    """Decide while no version has two values: a candidate that looks better is launched again."""
    candidate = history[-1]
    own, best = (known(canonical(run.values, config)) for run in (candidate, best_run(history[:-1])))
    if mean(own) < mean(best) and len(candidate.values) < config.max_attempts:
        return Confirm(candidate.run, len(candidate.values))
    return Revert("unmeasured")


def exact(history: Sequence[RunValues], noise: Spread, config: NoiseConfig) -> Decision:
    """Decide where reruns give equal values: the better value wins, as under the plain rule."""
    candidate = history[-1]
    own, best = known(canonical(candidate.values, config)), best_now(history[:-1], noise, None, config)
    value = in_metric(mean(own), config)
    gain = beyond(value, best.mean, config)
    facts = Facts(
        p_better=1.0 if gain > config.min_delta else 0.0,
        gain=gain,
        gain_sd=0.0,
        mean=value,
        sd=0.0,
        first=in_metric(own[0], config),
        attempts=len(candidate.values),
        best=best,
    )
    if not facts.p_better:
        return Revert("too_small" if gain > 0 else "worse", facts)
    if not is_young(own, facts, config):
        return Advance(facts)
    if len(candidate.values) < config.max_attempts:
        return Confirm(candidate.run, len(candidate.values), facts)
    return Revert("unsure", facts)


def is_young(values: Values, facts: Facts, config: NoiseConfig) -> bool:
    """Tell whether the candidate was seen once only while the noise is hardly known."""
    return len(known(values)) < 2 and facts.best.df < config.min_df
