"""What is known of the best apart from any candidate: for a status line, a threshold, an idle GPU. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ardaemon.judging.noise.replay import (
    best_now,
    best_run,
    is_measurable,
    measured,
    noise_of,
    replay,
)
from ardaemon.judging.noise.spread import Spread, beyond, in_reach
from ardaemon.judging.noise.types import BestNow, Confirm, NoiseConfig, RunValues

REACHED = 0.95  # P(the best's mean is at the threshold or beyond) at which the threshold is met
PERHAPS = 0.5  # at which the best is launched again to find out
VALUES_LEAST = 2  # that the best must have: one value alone meets no threshold
KNOWN_WELL = 0.15  # variance of the best's mean, in sigma²: below it an idle GPU has nothing to measure


@dataclass(frozen=True, slots=True)
class ThresholdTest:
    """Whether the best has met the threshold, how sure that is, and the launch that would tell more."""

    met: bool
    p: float | None  # None: the noise is not known yet
    confirm: Confirm | None = None


def standing(judged: Sequence[RunValues], config: NoiseConfig) -> BestNow | None:
    """Return what is known of the best; None as long as the noise is not known."""
    runs = measured(judged)
    if not runs:
        return None
    best = best_run(runs)
    config = in_reach(runs[0].values, best.values, config)
    noise = noise_of(runs, config)
    if noise is None:
        return None
    state = None if noise.exact else replay(runs, noise, len(best.values), config)
    return best_now(runs, noise, state, config)


def threshold(judged: Sequence[RunValues], level: float, config: NoiseConfig) -> ThresholdTest:
    """Tell whether the best's mean over seeds is at `level` or beyond; `level` in the metric's unit."""
    runs = measured(judged)
    if not runs:
        return ThresholdTest(False, None)
    best, now = best_run(runs), standing(judged, config)
    values = [value for value in best.values if value is not None and math.isfinite(value)]
    p = None if now is None else _beyond(now, level, config)
    if p is not None and p >= REACHED and len(values) >= VALUES_LEAST:
        return ThresholdTest(True, p)
    touched = any(beyond(value, level, config) >= 0 for value in values) and len(values) < VALUES_LEAST
    perhaps = touched or (p is not None and p >= PERHAPS)
    return ThresholdTest(False, p, _next(best) if perhaps and is_measurable(best, config) else None)


def worth_measuring(judged: Sequence[RunValues], config: NoiseConfig) -> Confirm | None:
    """Return the launch of the best that a GPU which is idle anyway is to make; None: it would tell nothing.

    A candidate's own confirmation goes before it: `decide` names that.
    """
    runs = measured(judged)
    if not runs:
        return None
    best, now = best_run(runs), standing(judged, config)
    is_known = now is not None and now.sd <= math.sqrt(KNOWN_WELL) * Spread(now.noise, now.df).sigma
    return None if is_known or not is_measurable(best, config) else _next(best)


def _beyond(best: BestNow, level: float, config: NoiseConfig) -> float:
    """Return the probability that the best's mean is at `level` or beyond."""
    left = beyond(best.mean, level, config)
    if best.sd == 0:
        return 1.0 if left >= 0 else 0.0
    return 0.5 * math.erfc(-left / best.sd / math.sqrt(2))


def _next(run: RunValues) -> Confirm:
    return Confirm(run.run, len(run.values))
