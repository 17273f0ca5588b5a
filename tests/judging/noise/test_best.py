"""What is known of the best: its mean, whether a threshold is met, whether an idle GPU can learn more."""

from dataclasses import replace

import pytest

from ardaemon.judging.noise.best import standing, threshold, worth_measuring
from ardaemon.judging.noise.types import Confirm, NoiseConfig, RunValues

CONFIG = NoiseConfig()
BASE = RunValues(run="r0000", values=(1.0, 1.001, 0.999, 1.0005))
LUCKY = RunValues(run="r0001", values=(0.98,), advanced=True, p_better=0.97)


def test_the_best_is_shrunk_towards_what_edits_usually_bring() -> None:
    """One value 0.02 better: the mean is a little less than that, and between the two values of 90%."""
    best = standing([BASE, LUCKY], CONFIG)
    assert best is not None
    assert (best.run, best.attempts, best.df, best.advances) == ("r0001", 1, 3, 1)
    assert 0.98 < best.mean < 0.985
    low, high = best.interval
    assert low < best.mean < high
    assert best.expected_false == pytest.approx(0.03)


def test_without_two_values_of_one_version_nothing_is_known_of_the_noise() -> None:
    assert standing([replace(BASE, values=(1.0,))], CONFIG) is None
    assert standing([replace(BASE, values=(None,))], CONFIG) is None
    assert standing([], CONFIG) is None


def test_one_lucky_value_meets_no_threshold_but_has_the_best_launched_again() -> None:
    test = threshold([BASE, LUCKY], 0.981, CONFIG)
    assert not test.met
    assert test.confirm == Confirm("r0001", 1)


def test_two_values_well_beyond_the_threshold_meet_it() -> None:
    test = threshold([BASE, replace(LUCKY, values=(0.98, 0.9805))], 0.99, CONFIG)
    assert test.met
    assert test.confirm is None
    assert test.p is not None
    assert test.p > 0.95


def test_a_threshold_that_is_probably_met_has_the_best_launched_again() -> None:
    test = threshold([BASE, replace(LUCKY, values=(0.98, 0.981))], 0.9806, CONFIG)
    assert test.p is not None
    assert 0.5 < test.p < 0.95
    assert (test.met, test.confirm) == (False, Confirm("r0001", 2))


def test_a_threshold_out_of_reach_asks_for_nothing() -> None:
    test = threshold([BASE, LUCKY], 0.9, CONFIG)
    assert (test.met, test.confirm) == (False, None)


def test_a_threshold_that_reruns_have_shown_to_be_missed_asks_for_nothing_more() -> None:
    seen = replace(LUCKY, values=(0.98, 0.985, 0.986, 0.985, 0.9855))
    test = threshold([BASE, seen], 0.981, CONFIG)
    assert (test.met, test.confirm) == (False, None)


def test_a_best_whose_rerun_failed_stays_short_of_the_threshold() -> None:
    assert threshold([BASE, replace(LUCKY, rerun_failed=True)], 0.981, CONFIG).confirm is None


def test_a_threshold_holds_in_the_direction_of_the_metric() -> None:
    up = NoiseConfig(direction="max")
    base, best = replace(BASE, values=(0.5, 0.501, 0.499)), replace(LUCKY, values=(0.52, 0.521))
    assert threshold([base, best], 0.51, up).met
    assert not threshold([base, best], 0.51, CONFIG).confirm
    assert not threshold([base, best], 0.53, up).met


def test_an_idle_gpu_measures_the_best_until_its_mean_is_well_known() -> None:
    assert worth_measuring([BASE], CONFIG) == Confirm("r0000", 4)
    assert worth_measuring([replace(BASE, values=BASE.values * 2)], CONFIG) is None
    assert worth_measuring([BASE, LUCKY], CONFIG) == Confirm("r0001", 1)
    assert worth_measuring([BASE, replace(LUCKY, rerun_failed=True)], CONFIG) is None
    assert worth_measuring([replace(BASE, values=(1.0,))], CONFIG) == Confirm("r0000", 1)
    assert worth_measuring([], CONFIG) is None


@pytest.mark.parametrize("unit", [1e300, 1e-300])
def test_a_threshold_is_met_and_the_best_is_known_whatever_the_size_of_the_values(unit: float) -> None:
    base = replace(BASE, values=tuple(value * unit for value in (1.0, 1.001, 0.999, 1.0005)))
    kept = replace(LUCKY, values=(0.98 * unit, 0.9805 * unit))
    assert threshold([base, kept], 0.99 * unit, CONFIG).met
    assert not threshold([base, kept], 0.97 * unit, CONFIG).met
    known = replace(kept, values=tuple(value * unit for value in (0.98, 0.9805, 0.9795) * 4))
    assert worth_measuring([base, kept], CONFIG) == Confirm("r0001", 2)
    assert worth_measuring([base, known], CONFIG) is None
