"""The noise of one version, from launches that were made to measure it. Pure."""

import math
from collections.abc import Sequence
from typing import NamedTuple

Z_95 = 1.645  # one-sided: a difference of two launches beyond this many standard deviations is seldom luck


class PlainNoise(NamedTuple):
    """How far launches of one version lie apart, in the metric's unit."""

    sd: float  # over seeds
    df: int
    same_sd: float | None  # with one seed; None: fewer than two such launches
    seed_share: float | None  # of the variance: what the seed makes of it, 0 to 1
    resolves: float  # the difference of two launches that is luck once in 20 times
    ignores_seed: bool  # values that are equal over seeds


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
        ignores_seed=len(set(values)) == 1,
    )


def _sd(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def advice(noise: PlainNoise, metric: str) -> tuple[str, ...]:
    """Return what that says to a person, a line each."""
    if noise.sd == 0:
        what = "equal with every seed: the script ignores AR_SEED, or has no luck in it"
        return (f"{metric} is {what}", "--verdict plain is right: a better value is better")
    lines = [f"noise: ±{noise.sd:.3g} over seeds ({noise.df} df)"]
    if noise.same_sd is not None:
        share = (
            f", {noise.seed_share:.0%} of the variance is the seed's" if noise.seed_share is not None else ""
        )
        lines.append(f"with one seed: ±{noise.same_sd:.3g}{share}")
    lines.append(f"one launch against one tells a difference of {noise.resolves:.3g} apart, 19 times in 20")
    lines.append("--verdict noise, unless your edits bring many times that")
    return tuple(lines)
