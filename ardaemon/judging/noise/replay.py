"""The history, replayed from the values: who is best, what is believed of it, what its edits have taught.

The answer depends on the values alone, not on when they came, and a daemon that was killed loses nothing:
what is kept between two calls saves time and nothing else. Everything is calculated with the noise as it is
known now.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from operator import mul
from typing import NamedTuple

from ardaemon.judging.noise.belief import (
    Belief,
    common_first,
    completed,
    numbers_of,
    of_baseline,
    seen_entries,
    unseen_entries,
    widened,
)
from ardaemon.judging.noise.edits import SHARES, Edits
from ardaemon.judging.noise.fit import Fit, fits, fitted
from ardaemon.judging.noise.plan import Plan, plans
from ardaemon.judging.noise.posterior import believed, posterior, to_report
from ardaemon.judging.noise.spread import (
    Scale,
    Spread,
    canonical,
    hidden_by,
    in_metric,
    known,
    mean,
    pooled,
    size_in_metric,
)
from ardaemon.judging.noise.types import BestNow, NoiseConfig, RunValues, Values, has_value

# What is replayed, so that a call takes no longer the longer the history is.
# Each is a number of runs, and a number of values that these have together; a run beyond either is left out.
REVERTED_MOST = (300, 160)  # the last that were not kept: those of a night and more tell what edits do here
KEPT_MOST = (22, 66)  # the last that were kept: older ones say next to nothing about the best of now
REPORTED_MOST = 16  # the last that were kept: what is told of the best does not hang on the ones before
SPREAD_MOST = 1000  # runs with two values or more from which the noise is taken: the last ones

# Steps whose results are kept, for whoever asks about the same history again: those of three long sessions.
STEPS_KEPT = 1024


class Known:
    """What the runs up to one of them say; nothing in it is changed once it is made."""

    __slots__ = ("edits", "parent", "reported")

    def __init__(self, parent: "Parent", reported: Belief, edits: Edits) -> None:
        """Take the best as verdicts see it and as it is reported, and what the edits have taught."""
        self.parent, self.reported, self.edits = parent, reported, edits


class State(NamedTuple):
    """What the judged runs say before the candidate is looked at; in sigmas."""

    best: RunValues
    belief: Belief  # about the best, for verdicts
    reported: Belief  # about the best, as people and agents are told
    edits: Edits
    scale: Scale


def replay(judged: Sequence[RunValues], noise: Spread, seeds: int, config: NoiseConfig) -> State:
    """Replay the judged runs, the baseline first; the belief at the end has at least so many `seeds`."""
    first, *rest = runs = bounded(judged)
    values = canonical(first.values, config)
    scale = Scale(mean(known(values)), noise.sigma)
    now = _begun(tuple(scale.units(values)))
    early = max(sum(run.advanced is True for run in rest) - REPORTED_MOST, 0)  # of those that were kept
    for run in rest:
        kept = run.advanced is True
        now = _after(now, tuple(scale.units(canonical(run.values, config))), kept, early <= 0)
        early -= kept
    belief, reported = widened(now.parent.belief, 1 + seeds), widened(now.reported, 1 + seeds)
    return State(best_run(runs), belief, reported, now.edits, scale)


@lru_cache(maxsize=16)
def _begun(values: Values) -> Known:
    """Return what the baseline's values say."""
    belief = of_baseline(values)
    return Known(Parent(belief), belief, Edits.none_tried())


@lru_cache(maxsize=STEPS_KEPT)
def _after(now: Known, values: Values, kept: bool, is_reported: bool) -> Known:
    """Return what is known after one more run; of one that is not reported, as verdicts see it."""
    parent, reported, edits = now.parent, now.reported, now.edits
    if kept:
        others = unseen_entries(values, max(len(parent.belief.mean), 1 + len(values)))
        weights = edits.effects(), edits.shares
        found = fits(parent.belief, SHARES, values, others)
        own = believed(found, posterior(found, *weights))
        parent = Parent(completed(own, values, others))
        shown = to_report(reported, values, others, *weights) if is_reported else own
        reported = completed(shown, values, others)
    else:
        found = parent.estimates(values)
    return Known(parent, reported, edits.taught(found, several=len(known(values)) > 1))


class Parent:
    """The version that the next edits are made from."""

    def __init__(self, belief: Belief) -> None:
        """Begin with what is believed of it."""
        self.belief = belief
        self._plans: dict[tuple[int, ...], list[Plan]] = {}
        self._at_zero: dict[tuple[int, ...], list[Fit]] = {}

    def estimates(self, values: Values) -> list[Fit]:
        """Return what a version's values say of its edit, for each share of luck that it may keep.

        Most versions have the same few seeds, or one: all that values do not change is calculated once.
        """
        seen = tuple(common_first(self.belief, seen_entries(values)))
        numbers = numbers_of(values, seen)
        if len(numbers) > 1:
            return [fitted(plan, numbers) for plan in self._planned(seen)]
        if seen not in self._at_zero:
            self._at_zero[seen] = [fitted(plan, [0.0]) for plan in self._planned(seen)]
        # One value moves the estimate and nothing else.
        return [one._replace(effect=one.effect + numbers[0]) for one in self._at_zero[seen]]

    def _planned(self, seen: tuple[int, ...]) -> list[Plan]:
        if seen not in self._plans:
            self._plans[seen] = plans(self.belief, SHARES, seen)
        return self._plans[seen]


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
    """Return the noise as all runs show it, the candidate's and the best's reruns among them.

    It is not less than what the last digit hides, unless reruns give equal values: then there is none.
    """
    several = (run.values for run in reversed(history) if len(run.values) > 1)
    versions = (canonical(values, config) for values in islice(several, SPREAD_MOST))
    noise = pooled(versions, known(canonical(history[0].values, config)))
    if noise is None or noise.exact:
        return noise
    return noise._replace(sd=max(noise.sd, _hidden(history, noise.sd * config.unit) / config.unit))


def _hidden(history: Sequence[RunValues], sd: float) -> float:
    """Return the standard deviation that the last digit hides which any run shows; in the metric's unit.

    Mostly the digits of two runs hide less than `sd`, the noise that was measured. Then the others' are not
    looked at, for they cannot hide more.
    """
    ends = [history[0], history[-1]]
    hidden = hidden_by(value for run in ends for value in run.values)
    if hidden <= sd:
        return hidden
    return hidden_by(value for run in [*ends, *bounded(history)] for value in run.values)


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
        centre = state.scale.value(state.reported.mean[0])
        sd = size_in_metric(math.sqrt(max(0.0, state.reported.cov[0][0])) * noise.sigma, config)
        keeps = sum(map(mul, SHARES, state.edits.shares))
    return BestNow(
        run=best.run,
        attempts=len(best.values),
        mean=in_metric(centre, config),
        sd=sd,
        noise=size_in_metric(noise.sd, config),
        df=noise.df,
        keeps=keeps,
        advances=len(ours),
        expected_false=sum(1 - p for p in ours),
    )
