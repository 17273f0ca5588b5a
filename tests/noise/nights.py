"""One night under each policy: the noise-aware verdict, and what it is compared with."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from ardaemon.judging.noise.best import standing
from ardaemon.judging.noise.decide import decide
from ardaemon.judging.noise.types import Advance, Confirm, Facts, NoiseConfig, RunValues
from tests.noise.world import LAUNCHES, Version, World


class Night(NamedTuple):
    """What came of a night."""

    final: float  # true value of the best at its end; the baseline's is 0
    kept: int
    false: int  # of these: edits that do not help
    flattery: float  # what the policy says of its best, less the truth, in standard deviations of the noise
    again: int = 0  # launches that were confirmations or reruns of the best, but the baseline's first
    expected_false: float = 0.0  # as the policy itself says


Policy = Callable[[World], Night]
Show = Callable[[float], float]  # how the metric shows a canonical value


def keep_if_better(
    world: World, new_seeds: bool = False, by: float = 0.0, seeds: int = 1, launches: int = LAUNCHES
) -> Night:
    """Keep what is better than the best by so many standard deviations; `seeds`: launches of each edit."""

    def shown(version: Version) -> float:
        if new_seeds:
            return world.value_of_a_new_seed(version)
        return sum(world.value(version, seed) for seed in range(seeds)) / seeds

    best, kept, false = world.first, 0, 0
    bar = shown(best)
    for number in range(seeds, launches - seeds + 1, seeds):
        candidate = world.edit(best, number)
        if candidate.crashes:
            continue
        value = shown(candidate)
        if value < bar - by * world.noise:
            kept, false = kept + 1, false + (candidate.truth >= best.truth)
            best, bar = candidate, value
    return Night(best.truth, kept, false, (bar - best.truth) / world.noise)


def noise_aware(
    world: World,
    launches: int = LAUNCHES,
    config: NoiseConfig = NoiseConfig(),  # noqa: B008 (frozen)
    show: Show = lambda value: value,
) -> Night:
    """The verdict of ardaemon/judging/noise, with a launch for everything that it asks for."""
    night = NoiseNight(world, config, show)
    while night.used < launches:
        night.next_edit(launches)
    return night.ended()


class NoiseNight:
    """A night under the noise-aware verdict, edit by edit."""

    def __init__(self, world: World, config: NoiseConfig, show: Show = lambda value: value) -> None:
        """Launch the baseline once."""
        self.world, self.config, self.show = world, config, show
        self.versions = {"r0": world.first}
        self.runs = [RunValues(run="r0", values=())]
        self.best, self.used, self.again, self.kept, self.false = "r0", 0, 0, 0, 0
        for _ in range(config.start):
            self._launch("r0")

    def next_edit(self, launches: int) -> list[Facts]:
        """Try one edit until it has its verdict; return what was known of it after each of its launches."""
        name, steps = f"r{len(self.runs)}", list[Facts]()
        self.versions[name] = self.world.edit(self.versions[self.best], self.used)
        self.runs.append(RunValues(run=name, values=()))
        self._launch(name)
        while isinstance(decision := decide(self.runs, self.config), Confirm) and self.used < launches:
            steps += [decision.facts] if decision.facts else []
            self._launch(decision.which, decision.seed)
            self.again += 1
        steps += [decision.facts] if decision.facts else []
        self._judge(decision.facts if isinstance(decision, Advance) else None)
        return steps

    def ended(self) -> Night:
        """What came of the night."""
        best, now = self.versions[self.best], standing(self.runs, self.config)
        assert now is not None
        said = (now.mean - self.show(best.truth)) / (self.show(self.world.noise) - self.show(0.0))
        return Night(best.truth, self.kept, self.false, said, self.again, now.expected_false)

    def _launch(self, name: str, seed: int | None = None) -> None:
        """Launch a version with its next seed, which is the one that was asked for."""
        at = next(i for i, run in enumerate(self.runs) if run.run == name)
        values = self.runs[at].values
        assert seed in (None, len(values))
        version = self.versions[name]
        value = None if version.crashes else self.show(self.world.value(version, len(values)))
        self.runs[at] = replace(self.runs[at], values=(*values, value))
        self.used += 1

    def _judge(self, kept: Facts | None) -> None:
        """Write the verdict down."""
        candidate = self.runs[-1]
        self.runs[-1] = replace(
            candidate, advanced=kept is not None, p_better=kept.p_better if kept else None
        )
        if kept:
            self.kept += 1
            self.false += self.versions[candidate.run].truth >= self.versions[self.best].truth
            self.best = candidate.run


POLICIES: dict[str, Policy] = {
    "keep if better, one seed": keep_if_better,
    "keep if better, new seeds": partial(keep_if_better, new_seeds=True),
    "better by one sd of the noise (told), one seed": partial(keep_if_better, by=1.0),
    "three seeds each": partial(keep_if_better, seeds=3),
    "noise-aware": noise_aware,
    "noise-aware, 1.2 × the launches": partial(noise_aware, launches=LAUNCHES * 6 // 5),
}
