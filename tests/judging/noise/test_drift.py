"""A rerun of the best that is not where it was expected: the alarm for a machine that has changed."""

import random
from dataclasses import replace

import pytest

from ardaemon.judging.noise.drift import drift
from ardaemon.judging.noise.line import drift_line
from ardaemon.judging.noise.types import NoiseConfig, RunValues

CONFIG = NoiseConfig()
# Eight values with a standard deviation of 0.001.
VALUES = (1.0, 1.001, 0.999, 1.0015, 0.9985, 1.0005, 0.9995, 1.0003)
BASE = RunValues(run="r0001", values=VALUES)


def test_a_value_far_from_what_is_expected_is_told_and_one_nearby_is_not() -> None:
    far = drift([BASE], 8, 1.006, CONFIG)
    assert far is not None
    assert far.expected == pytest.approx(1.0, abs=0.0005)
    assert 4 < far.off < 7
    assert drift([BASE], 8, 1.002, CONFIG) is None
    assert drift([BASE], 8, 0.9979, CONFIG) is None, "better or worse"
    assert drift([BASE], 8, 0.994, CONFIG) is not None


def test_of_an_edit_that_keeps_the_luck_a_seeds_value_is_expected_with_its_luck() -> None:
    """After edits that moved every seed alike the next one's second value is known well."""
    runs = [BASE]
    for number in range(2, 8):
        moved = tuple(value - 0.002 * number for value in VALUES)
        runs.append(RunValues(run=f"r{number:04d}", values=moved, advanced=True, p_better=0.95))
    last = RunValues(run="r0009", values=(0.98, 0.981, 0.979), advanced=True, p_better=0.95)
    assert drift([*runs, last], 3, 0.9815, CONFIG) is None
    assert drift([*runs, last], 3, 0.99, CONFIG) is not None


def test_as_long_as_the_noise_is_hardly_known_nothing_is_told() -> None:
    assert drift([replace(BASE, values=VALUES[:6])], 6, 2.0, CONFIG) is None
    assert drift([replace(BASE, values=VALUES[:7])], 7, 2.0, CONFIG) is not None
    assert drift([], 0, 2.0, CONFIG) is None
    assert drift([replace(BASE, values=(1.0,) * 8)], 8, 2.0, CONFIG) is None, "reruns give equal values"


def test_a_seed_whose_value_is_known_tells_nothing() -> None:
    assert drift([BASE], 3, 2.0, CONFIG) is None
    gap = replace(BASE, values=(*VALUES[:3], None, *VALUES[4:]))
    assert drift([gap], 3, 2.0, CONFIG) is not None


@pytest.mark.parametrize("scale", [1e6, 1e-6, -1.0])
def test_it_is_free_of_scale_and_direction(scale: float) -> None:
    config = NoiseConfig(direction="max" if scale < 0 else "min")
    base = replace(BASE, values=tuple(value * scale for value in VALUES))
    far, plain = drift([base], 8, 1.006 * scale, config), drift([BASE], 8, 1.006, CONFIG)
    assert far is not None
    assert plain is not None
    assert far.off == pytest.approx(plain.off)
    assert far.expected == pytest.approx(plain.expected * scale)


def test_a_machine_that_stays_as_it_is_rings_seldom() -> None:
    """Of 400 reruns whose noise is known with 7 degrees of freedom some 1.5% by Student's t."""
    chance = random.Random(5)
    rung = 0
    for _ in range(400):
        values = tuple(chance.gauss(1.0, 0.01) for _ in range(9))
        rung += drift([replace(BASE, values=values[:8])], 8, values[8], CONFIG) is not None
    assert rung <= 14


def test_however_far_it_is_off_the_line_has_few_digits() -> None:
    far = drift([BASE], 8, 1e300, CONFIG)
    assert far is not None
    assert len(drift_line("r0001m8", 8, far)) < 150


def test_it_is_said_in_one_line() -> None:
    far = drift([BASE], 8, 1.006, CONFIG)
    assert far is not None
    assert drift_line("r0001m8", 8, far).startswith("r0001m8: 1.006 with seed 8, ")
    assert drift_line("r0001m8", 8, far).endswith("is the machine hotter, or does somebody else work on it?")
