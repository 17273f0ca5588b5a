"""The noise of one version, from launches that were made to measure it. Pure."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from ardaemon.core.interval import mean_of

Z_95 = 1.645  # one-sided: a difference of two launches beyond this many standard deviations is seldom luck
SAME_LEAST = 3  # launches with one seed: fewer say next to nothing of their own noise
SHARE_LEAST = 0.25  # of the variance: with less the seed makes no difference that few launches could show


class PlainNoise(NamedTuple):
    """How far launches of one version lie apart, in the metric's unit."""

    sd: float  # over seeds
    df: int
    same_sd: float | None  # with one seed; None: fewer than two such launches
    seed_share: float | None  # of the variance: what the seed makes of it, 0 to 1
    resolves: float  # the difference of two launches that is luck once in 20 times
    ignores_seed: Literal["yes", "perhaps", "no"]


def of(values: Sequence[float], same: Sequence[float]) -> PlainNoise | None:
    """Return the noise of launches with different seeds, and with the `same`; None for fewer than two."""
    if len(values) < 2:
        return None
    sd = _sd(values)
    same_sd = _sd(same) if len(same) > 1 else None
    share = None if same_sd is None or sd == 0 else max(0.0, 1 - (same_sd / sd) ** 2)
    return PlainNoise(
        sd=sd,
        df=len(values) - 1,
        same_sd=same_sd,
        seed_share=share,
        resolves=Z_95 * math.sqrt(2) * sd,
        ignores_seed=_ignores_seed(sd, share, len(same)),
    )


def _ignores_seed(sd: float, share: float | None, same: int) -> Literal["yes", "perhaps", "no"]:
    if sd == 0:
        return "yes"
    return "perhaps" if share is not None and same >= SAME_LEAST and share < SHARE_LEAST else "no"


def _sd(values: Sequence[float]) -> float:
    """Return the standard deviation; in units of the largest deviation, for a square may be no number."""
    if len(set(values)) == 1:
        return 0.0
    mean = mean_of(values)
    largest = max(abs(value - mean) for value in values)
    return largest * math.sqrt(
        math.fsum(((value - mean) / largest) ** 2 for value in values) / (len(values) - 1)
    )


def advice(noise: PlainNoise, metric: str) -> tuple[str, ...]:
    """Return what that says to a person, a line each."""
    if noise.ignores_seed == "yes":
        return (*_equal(noise, metric), "use --verdict plain: a better value is better")
    if not math.isfinite(noise.resolves):
        return (f"no number holds the noise of {metric}: some values are so large",)
    lines = [f"noise: ±{noise.sd:.3g} over seeds ({noise.df} df)"]
    if noise.same_sd is not None:
        lines.append(
            f"with one seed: ±{noise.same_sd:.3g}, {noise.seed_share:.0%} of the variance is the seed's"
        )
    if noise.ignores_seed == "perhaps":
        lines.append("the seed makes hardly a difference: perhaps the script ignores AR_SEED")
    lines.append(f"one launch against one tells a gain of {noise.resolves:.3g} apart, 19 times in 20")
    lines.append(f"use --verdict noise; or plain, if your edits bring far more than {noise.resolves:.3g}")
    return tuple(lines)


def _equal(noise: PlainNoise, metric: str) -> tuple[str, ...]:
    what = f"{metric} is equal with {noise.df + 1} seeds: the script ignores AR_SEED, or has no luck in it"
    return (what,) if not noise.same_sd else (what, f"but with one seed it differs: ±{noise.same_sd:.3g}")
