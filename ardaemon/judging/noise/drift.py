"""Whether a rerun of the best lies where its belief has it: if not, the machine may have changed. Pure.

A machine that becomes hotter, or that somebody else works on, looks to the verdict like an effect of an edit.
A version that was measured before tells the two apart: its own values should go on as they were.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ardaemon.judging.noise.replay import best_run, measured, noise_of, replay
from ardaemon.judging.noise.spread import canonical, in_metric, in_reach, size_in_metric
from ardaemon.judging.noise.types import NoiseConfig, RunValues

FAR = 3.0  # standard deviations of what is expected: by luck alone some 3 reruns in 1,000 lie farther off


@dataclass(frozen=True, slots=True)
class Drift:
    """A value of the best that was not to be expected; in the metric's unit and sign."""

    value: float
    expected: float
    sd: float  # of what was expected

    @property
    def off(self) -> float:
        """Return how many standard deviations lie between the two."""
        return abs(self.value - self.expected) / self.sd


def drift(judged: Sequence[RunValues], seed: int, value: float, config: NoiseConfig) -> Drift | None:
    """Return how far the best's value with that seed is off, by what was `judged` before; None if it is not.

    As long as the noise is known with few degrees of freedom (min_df) a value that is far off says nothing.
    """
    runs = measured(judged)
    if not runs:
        return None
    best = best_run(runs)
    config = in_reach(runs[0].values, best.values, config)
    noise = noise_of(runs, config)
    if noise is None or noise.exact or noise.df < config.min_df:
        return None
    if seed < len(best.values) and best.values[seed] is not None:
        return None
    state = replay(runs, noise, max(len(best.values), seed + 1), config)
    sd = math.sqrt(max(0.0, state.belief.cov[1 + seed][1 + seed])) * noise.sigma
    expected = state.scale.value(state.belief.mean[1 + seed])
    (found,) = canonical([value], config)
    if found is None or sd == 0 or abs(found - expected) <= FAR * sd:
        return None
    return Drift(value, in_metric(expected, config), size_in_metric(sd, config))
