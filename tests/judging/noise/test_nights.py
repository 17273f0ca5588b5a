"""Simulated nights under the noise-aware verdict, at a size for every day.

tests/noise/table.py simulates as many as the figures of a table need.

Every night is drawn from its number, so each test sees the same nights each time. The bounds are wide: they
tell a rule that works from one that does not.
"""

import json
from dataclasses import asdict, replace
from functools import partial
from statistics import mean

import pytest

from ardaemon.judging.noise.decide import decide
from ardaemon.judging.noise.types import NoiseConfig, RunValues
from tests.noise.nights import NoiseNight, keep_if_better, noise_aware
from tests.noise.world import HELPING, KEPT, MIXED, NO_OPS, REDRAWN, World

SHORT = 40  # launches
# Nights take seconds of a core, and the machine may have little of one to spare.
pytestmark = pytest.mark.timeout(300)


def test_where_no_edit_does_anything_hardly_any_is_kept() -> None:
    """20 nights of 80 launches. Expected: 11 ± 4; keep-if-better on one seed keeps over 200."""
    worlds = [World(NO_OPS, 0.002, number) for number in range(100, 120)]
    assert sum(noise_aware(world, launches=80).kept for world in worlds) <= 25
    assert sum(keep_if_better(world, launches=80).kept for world in worlds) > 200


def test_a_night_gets_far_and_keeps_little_that_is_false() -> None:
    """8 nights at a noise of 0.002. Expected: -0.058 ± 0.007, and a false share of 4%."""
    nights = [noise_aware(World(MIXED, 0.002, number)) for number in range(200, 208)]
    assert -0.079 < mean(night.final for night in nights) < -0.037
    assert sum(night.false for night in nights) <= 0.10 * sum(night.kept for night in nights)


def test_the_best_is_reported_as_it_is_and_not_as_lucky_as_it_looked() -> None:
    """40 nights of 60 launches; the plain rule's best is lucky by more than a standard deviation."""
    ours = [noise_aware(World(MIXED, 0.002, number), launches=60) for number in range(200, 240)]
    assert abs(mean(night.flattery for night in ours)) < 0.4
    plain = [keep_if_better(World(MIXED, 0.002, number)) for number in range(200, 240)]
    assert mean(night.flattery for night in plain) < -1


def test_after_ten_advances_on_one_value_each_the_best_is_still_reported_as_it_is() -> None:
    """40 nights in which most edits help: no launch is spent on the best, and its luck is carried on."""
    nights = [ten_advances(World(HELPING, 0.002, number)) for number in range(5000, 5040)]
    assert abs(mean(flattery for flattery, _ in nights)) < 0.4
    assert mean(values for _, values in nights) < 1.5


def ten_advances(world: World) -> tuple[float, float]:
    """How the best flatters itself after ten advances, and how many values they have on average."""
    night = NoiseNight(world, NoiseConfig())
    while night.kept < 10:
        night.next_edit(SHORT)
    return night.ended().flattery, mean(len(run.values) for run in night.runs if run.advanced)


def test_what_edits_keep_of_the_luck_is_made_use_of() -> None:
    """The same edits at a noise of 0.005: where they keep the luck, it is known better what helps."""
    kept, redrawn = (noise_aware(World(kind, 0.005, 301)).final for kind in (KEPT, REDRAWN))
    assert kept < -0.045 < -0.022 < redrawn


def test_a_night_is_the_same_in_any_unit_offset_and_direction() -> None:
    night = noise_aware(World(MIXED, 0.002, 400), SHORT)
    assert night.kept > 0
    for factor, offset in ((1e6, 0.0), (1e-6, 0.0), (1.0, 1.0), (-1.0, 0.0)):
        config = NoiseConfig(direction="min" if factor > 0 else "max")
        other = noise_aware(World(MIXED, 0.002, 400), SHORT, config, partial(shown, factor, offset))
        assert other[:3] == night[:3]


def shown(factor: float, offset: float, value: float) -> float:
    """How a metric of another unit, offset or direction shows a value."""
    return factor * value + offset


def test_a_verdict_depends_on_the_values_and_on_nothing_else() -> None:
    """Whoever decides anew from what is on disk, in whatever order it came to be there, decides the same."""
    night = NoiseNight(World(MIXED, 0.005, 500), NoiseConfig())
    while night.used < SHORT:
        night.next_edit(SHORT)
        at_its_verdict = [*night.runs[:-1], replace(night.runs[-1], advanced=None, p_better=None)]
        stored = json.dumps([asdict(run) for run in at_its_verdict])
        read = [RunValues(**{**run, "values": tuple(run["values"])}) for run in json.loads(stored)]
        assert decide(read, NoiseConfig()) == decide(at_its_verdict, NoiseConfig())
    assert any(len(run.values) > 1 for run in night.runs[1:])
