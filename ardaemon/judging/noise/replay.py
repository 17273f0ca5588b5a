"""The history, replayed from the values: who is best, what is believed of it, what its edits have taught.

Nothing is remembered between two calls: the answer depends on the values alone, not on when they came, and a
daemon that was killed loses nothing. Everything is calculated with the noise as it is known now.
"""

import math
from collections.abc import Sequence
from itertools import accumulate, islice
from operator import mul
from typing import NamedTuple

from ardaemon.judging.noise.belief import Belief, Fit, fit, of_baseline, seen_entries
from ardaemon.judging.noise.edits import SHARES, Edits
from ardaemon.judging.noise.posterior import posterior
from ardaemon.judging.noise.spread import Scale, Spread, canonical, in_metric, known, mean, pooled
from ardaemon.judging.noise.types import BestNow, NoiseConfig, RunValues, Values, has_value

# What is replayed, so that a call takes no longer the longer the history is.
# Each is a number of runs, and a number of values that these have together; a run beyond either is left out.
REVERTED_MOST = (300, 600)  # the last that were not kept: from so many the edits' effects are known well
KEPT_MOST = (30, 100)  # the last that were kept: older ones say next to nothing about the best of now
SPREAD_MOST = 1000  # runs with two values or more from which the noise is taken: the last ones


class State(NamedTuple):
    """What the judged runs say before the candidate is looked at; in sigmas."""

    best: RunValues
    belief: Belief  # about the best
    edits: Edits
    scale: Scale


def replay(judged: Sequence[RunValues], noise: Spread, seeds: int, config: NoiseConfig) -> State:
    """Replay the judged runs, the baseline first; the belief at the end has at least so many `seeds`."""
    first, *rest = bounded(judged)
    values = canonical(first.values, config)
    scale = Scale(mean(known(values)), noise.sigma)
    units = [scale.units(canonical(run.values, config)) for run in rest]
    # The belief about a version has the seeds that later runs were run with; others make no difference.
    needed = [*accumulate((seeds, *map(len, reversed(units)), len(values)), max)][::-1]
    best, parent, edits = first, Parent(of_baseline(scale.units(values), 1 + needed[0])), Edits()
    for run, own, most in zip(rest, units, needed[1:], strict=False):
        fits = parent.fits(own, range(1 + most)) if run.advanced else parent.estimates(own)
        if run.advanced:
            best, parent = run, Parent(posterior(fits, edits.effects(), edits.shares).belief)
        edits.learn(fits, several=len(known(own)) > 1)
    return State(best, parent.belief, edits, scale)


class Parent:
    """The version that the next edits are made from."""

    def __init__(self, belief: Belief) -> None:
        """Begin with what is believed of it."""
        self.belief = belief
        self._at_zero: dict[int, list[Fit]] = {}

    def fits(self, values: Values, entries: Sequence[int]) -> list[Fit]:
        """Return what the values say of an edit, for each share of the luck that it may keep."""
        return [fit(self.belief, share, values, entries) for share in SHARES]

    def estimates(self, values: Values) -> list[Fit]:
        """Return the same of a version that was not kept: of its fits the effects, variances and evidence.

        Most such runs have one value, which moves the estimate and nothing else: their fits are made once.
        """
        seen = seen_entries(values)
        if len(seen) > 1:
            return self.fits(values, seen)
        (entry,), (value,) = seen, known(values)
        if entry not in self._at_zero:
            self._at_zero[entry] = self.fits([*[None] * (entry - 1), 0.0], seen)
        return [Fit(one.effect + value, *one[1:]) for one in self._at_zero[entry]]


def bounded(judged: Sequence[RunValues]) -> list[RunValues]:
    """Return the runs to replay. If they are too many, the first is one that was kept: a new baseline."""
    chosen: list[RunValues] = []
    room = {True: KEPT_MOST, False: REVERTED_MOST}
    for run in reversed(judged[1:]):
        if run.advanced is None or (not run.advanced and min(room[False]) <= 0) or not has_value(run):
            continue
        runs, values = room[run.advanced]
        chosen.append(run)
        if min(runs, values) <= 0:
            return chosen[::-1]
        room[run.advanced] = (runs - 1, values - len(run.values))
    return [judged[0], *reversed(chosen)]


def measured(history: Sequence[RunValues]) -> Sequence[RunValues]:
    """Return the history from the first run that has a value: this is the baseline."""
    first = next((i for i, run in enumerate(history) if has_value(run)), len(history))
    return history[first:]


def best_run(judged: Sequence[RunValues]) -> RunValues:
    """Return the best: the last run that was kept, or the baseline."""
    return next((run for run in reversed(judged[1:]) if run.advanced and has_value(run)), judged[0])


def is_measurable(best: RunValues, config: NoiseConfig) -> bool:
    """Tell whether the best may be launched again; a rerun of it that failed is not followed by another."""
    return len(best.values) < config.max_attempts and not best.rerun_failed


def noise_of(history: Sequence[RunValues], config: NoiseConfig) -> Spread | None:
    """Return the noise as all runs show it, the candidate's and the best's reruns among them."""
    several = (run.values for run in reversed(history) if len(run.values) > 1)
    ends = (known(canonical(run.values, config)) for run in (history[0], history[-1]))
    return pooled((canonical(values, config) for values in islice(several, SPREAD_MOST)), *ends)


def best_now(judged: Sequence[RunValues], noise: Spread, state: State | None, config: NoiseConfig) -> BestNow:
    """Return what is known of the best, in the metric's unit and sign.

    `state` is None where reruns give equal values: then its value is its mean, and there is no luck in it.
    """
    best, ours = (
        best_run(judged),
        [run.p_better for run in judged if run.advanced and run.p_better is not None],
    )
    if state is None:
        centre, sd, keeps = mean(known(canonical(best.values, config))), 0.0, 1.0
    else:
        centre = state.scale.value(state.belief.mean[0])
        sd = math.sqrt(max(0.0, state.belief.cov[0][0])) * noise.sigma
        keeps = sum(map(mul, SHARES, state.edits.shares))
    return BestNow(
        run=best.run,
        attempts=len(best.values),
        mean=in_metric(centre, config),
        sd=sd,
        noise=noise.sd,
        df=noise.df,
        keeps=keeps,
        advances=len(ours),
        expected_false=sum(1 - p for p in ours),
    )
