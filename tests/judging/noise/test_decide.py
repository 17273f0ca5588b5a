"""The noise-aware verdict, case by case: what it does with few values, surprises, gaps and failures."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest

from ardaemon.judging.noise.best import standing, worth_measuring
from ardaemon.judging.noise.decide import decide
from ardaemon.judging.noise.line import status_line, verdict_line
from ardaemon.judging.noise.types import Advance, Confirm, Decision, Facts, NoiseConfig, Revert, RunValues

CONFIG = NoiseConfig()
FOUR = (1.0, 1.001, 0.999, 1.0005)  # the baseline, 3 degrees of freedom; sd 0.0009
EIGHT = FOUR + FOUR
WIDE = (1.0, 1.010, 0.990, 1.005, 0.996, 1.003, 0.992, 1.007)
ORDER = (2, 0, 3, 1)

Values = Sequence[float | None]


def run(number: int, values: Values, advanced: bool | None = None) -> RunValues:
    """One run of a history."""
    return RunValues(run=f"r{number:04d}", values=tuple(values), advanced=advanced)


def judged(base: Values, candidate: Values, config: NoiseConfig = CONFIG) -> Decision:
    """The decision about the first candidate."""
    return decide([run(0, base), run(1, candidate)], config)


def p_better(decision: Decision) -> float:
    """How likely the candidate is better."""
    assert decision.facts is not None
    return decision.facts.p_better


def edits_that(keep_the_luck: bool) -> list[RunValues]:
    """A baseline, and six worse edits which moved every seed alike, or shuffled the seeds' luck."""
    seeds = range(4)
    alike = [[WIDE[j] + 0.001 * i + 0.0003 * (-1) ** (i + j) for j in seeds] for i in range(1, 7)]
    mixed = [[WIDE[(ORDER[j] + i) % 8] + 0.001 * i for j in seeds] for i in range(1, 7)]
    edits = alike if keep_the_luck else mixed
    return [run(0, WIDE), *(run(i, values, False) for i, values in enumerate(edits, 1))]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_baseline_is_launched_four_times_before_the_first_verdict(count: int) -> None:
    assert judged(FOUR[:count], [0.9]) == Confirm("r0000", count)


def test_a_clear_loser_is_reverted_on_one_value() -> None:
    decision = judged(FOUR, [1.02])
    assert isinstance(decision, Revert)
    assert decision.reason == "worse"
    assert p_better(decision) < 0.05


def test_a_clear_winner_is_kept_on_one_value_only_once_the_noise_is_known() -> None:
    young = judged(FOUR, [0.98])
    assert isinstance(young, Confirm)
    assert (young.which, young.seed) == ("r0001", 1)
    assert isinstance(judged(FOUR, [0.98, 0.981]), Advance)
    assert isinstance(judged(EIGHT, [0.98]), Advance)


@pytest.mark.parametrize(("direction", "sign"), [("min", 1), ("max", -1)])
def test_the_facts_are_in_the_metrics_own_unit_and_sign(direction: Literal["min", "max"], sign: int) -> None:
    config = NoiseConfig(direction=direction)
    decision = judged([sign * value for value in EIGHT], [sign * 0.98, sign * 0.981], config)
    assert isinstance(decision, Advance)
    facts = decision.facts
    assert facts is not None
    assert facts.p_better > 0.999
    assert facts.gain == pytest.approx(0.0193, abs=0.001)  # better is positive, whatever the direction
    assert 0 < facts.gain_sd < 0.002
    assert facts.mean == pytest.approx(sign * 0.9803, abs=0.0003)
    assert (facts.first, facts.attempts) == (sign * 0.98, 2)
    assert facts.best.mean == pytest.approx(sign * 1.000125, abs=0.0001)
    assert (facts.best.run, facts.best.attempts, facts.best.df) == ("r0000", 8, 8)
    low, high = facts.best.interval
    assert low < facts.best.mean < high


def test_one_sigma_better_is_within_the_noise_and_not_worth_a_rerun() -> None:
    decision = judged(FOUR, [0.9992])
    assert isinstance(decision, Revert)
    assert decision.reason == "within_noise"


def test_a_value_that_rerun_is_no_better_only_looked_better() -> None:
    decision = judged(EIGHT, [0.9980, 1.0040, 1.0030, 1.0020])
    assert isinstance(decision, Revert)
    assert decision.reason == "looked_better"


def test_without_noise_the_better_one_is_kept() -> None:
    assert isinstance(judged([1.0] * 4, [0.9999, 0.9999]), Advance)
    assert isinstance(judged([1.0] * 4, [1.0]), Revert)
    assert isinstance(judged([1.0] * 4, [1.0001]), Revert)
    assert isinstance(judged([0.0] * 4, [0.0]), Revert)
    assert isinstance(judged([0.0] * 8, [-1e-7]), Advance)


def test_where_reruns_give_equal_values_a_night_is_that_of_keep_if_better() -> None:
    """Steps of one part in a million, up and down, each run launched as often as it is asked for."""
    dice, history, best = random.Random(1), [run(0, [2.0] * 4)], 2.0
    for number in range(1, 40):
        value = 2.0 + 1e-6 * dice.randint(-number, number)
        decision: Decision = Confirm(f"r{number:04d}", 0)
        values: list[float] = []
        while isinstance(decision, Confirm):
            values.append(value)
            decision = decide([*history, run(number, values)], CONFIG)
        assert isinstance(decision, Advance) == (value < best)
        history.append(run(number, values, value < best))
        best = min(best, value)
    assert len(history[-1].values) == 1


def test_equal_reruns_of_a_printed_metric_have_the_noise_of_its_last_digit() -> None:
    decision = judged([0.8512] * 20 + [0.8513], [0.8512])
    assert decision.facts is not None
    assert decision.facts.best.noise == pytest.approx(0.0001 / 12**0.5)  # 0.00002 was measured


def test_better_by_less_than_min_delta_is_reverted_on_few_values() -> None:
    decision = judged(EIGHT, [0.98, 0.98], NoiseConfig(min_delta=0.05))
    assert isinstance(decision, Revert)
    assert isinstance(judged(EIGHT, [0.98, 0.98], NoiseConfig(min_delta=0.01)), Advance)


@pytest.mark.parametrize("base", [EIGHT, (1.0,) * 4], ids=["noise", "no noise"])
def test_better_by_less_than_min_delta_is_not_said_to_be_no_better(base: Values) -> None:
    for value, reason in ((0.9, "too_small"), (1.1, "worse")):
        decision = judged(base, [value], NoiseConfig(min_delta=0.3))
        assert isinstance(decision, Revert)
        assert decision.reason == reason


def test_the_last_digit_is_that_of_all_runs_and_not_of_the_candidate_alone() -> None:
    """Of 24 launches one differs, by 1: sd 0.204, less than whole numbers hide, but not than tenths do."""
    whole, tenths = run(0, [97.0] * 23 + [98.0]), run(1, [98.5], False)
    noises = []
    for history in ([whole], [whole, tenths]):
        for value in (99.0, 98.5):
            facts = decide([*history, run(2, [value])], CONFIG).facts
            assert facts is not None
            noises.append(facts.best.noise)
    assert noises == pytest.approx([12**-0.5, 0.2041, 0.2041, 0.2041], rel=1e-3)


def test_where_reruns_give_equal_values_there_is_no_noise() -> None:
    for value in (5.0, 0.85):
        decision = judged([value] * 4, [value])
        assert isinstance(decision, Revert)
        assert decision.facts is not None
        assert decision.facts.best.noise == 0
        assert verdict_line("r0001", "hits", decision) == (
            f"[r0001] revert: {value:g} is no better than the best (P=0.00)"
        )
        best = [run(0, [value] * 4), run(1, [value], False)]
        now = standing(best, CONFIG)
        assert now is not None
        assert status_line(now, 5, 3).startswith("noise: ±0 (3 df), 3 of 5 launches")
        assert worth_measuring(best, CONFIG) is None, "an idle GPU has nothing to learn"


def test_a_best_of_zero_is_shown_without_a_sign() -> None:
    """Maximised values are reckoned with the other sign."""
    decision = judged((0.0,) * 4, [-1.0], NoiseConfig(direction="max"))
    assert decision.facts is not None
    assert str(decision.facts.best.mean) == "0.0"


def test_a_huge_win_is_a_win() -> None:
    assert isinstance(judged(EIGHT, [-1e6]), Advance)
    assert isinstance(judged(EIGHT, [-1e300]), Advance)
    worst = judged(EIGHT, [1e300])
    assert worst.facts is not None
    assert worst.facts.best.noise == pytest.approx(0.00079, rel=0.01)


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("power", [-1000, -600, 600, 1000])
def test_values_of_any_size_are_judged_as_values_about_one(
    power: int, direction: Literal["min", "max"]
) -> None:
    """A power of two is a unit in which every number is exact: so is the answer, to the last digit."""
    sign, unit, config = 1 if direction == "min" else -1, 2.0**power, NoiseConfig(direction=direction)
    for base, candidate in ((EIGHT, [0.98, 0.981]), (EIGHT, [0.9995]), (FOUR, [1.02]), (FOUR, [0.98])):
        large, small = (
            judged([one * value for value in base], [one * value for value in candidate], config)
            for one in (sign * unit, sign)
        )
        assert large.facts is not None
        assert (type(large), in_unit(large.facts, unit)) == (type(small), small.facts)


def in_unit(facts: Facts, unit: float) -> Facts:
    best = facts.best
    return replace(
        facts,
        gain=facts.gain / unit,
        gain_sd=facts.gain_sd / unit,
        mean=facts.mean / unit,
        sd=facts.sd / unit,
        first=facts.first / unit,
        best=replace(best, mean=best.mean / unit, sd=best.sd / unit, noise=best.noise / unit),
    )


def test_a_limit_is_in_the_metrics_unit_however_large_the_values_are() -> None:
    """The baseline is 1e300 ± 1e297; the candidate is better by 2e298."""
    base, candidate = ([value * 1e300 for value in values] for values in (EIGHT, [0.98, 0.981]))
    assert isinstance(judged(base, candidate, NoiseConfig(min_delta=1e298)), Advance)
    assert isinstance(judged(base, candidate, NoiseConfig(min_delta=5e298)), Revert)


@pytest.mark.parametrize("values", [[], [None], [float("nan")], [float("inf"), float("-inf")]])
def test_a_candidate_without_a_finite_value_is_reverted(values: Values) -> None:
    assert judged(FOUR, values) == Revert("no_value")


def test_the_second_failure_of_a_confirmation_is_unstable() -> None:
    winner = run(1, [0.98, None])
    once = decide([run(0, FOUR), replace(winner, failures=1)], CONFIG)
    assert isinstance(once, Confirm)
    assert (once.which, once.seed) == ("r0001", 2)
    twice = replace(winner, values=(0.98, None, None), failures=2)
    assert decide([run(0, FOUR), twice], CONFIG) == Revert("unstable")


def test_a_constraint_broken_by_any_attempt_ends_it() -> None:
    winner = replace(run(1, [0.98, 0.98]), violated=True)
    assert decide([run(0, FOUR), winner], CONFIG) == Revert("constraint")
    assert decide([run(0, FOUR[:1]), winner], CONFIG) == Revert("constraint")


def test_a_best_whose_rerun_failed_is_not_launched_again() -> None:
    base, candidate = run(0, (1.0, 1.01, 0.99, 1.005)), [0.99, 0.985, 0.985, 0.98, 0.99]
    for count in range(1, 6):
        decision = decide([replace(base, rerun_failed=True), run(1, candidate[:count])], CONFIG)
        assert not isinstance(decision, Confirm) or decision.which == "r0001"


def test_no_version_is_launched_more_often_than_max_attempts() -> None:
    decision = judged(FOUR, [0.98], NoiseConfig(max_attempts=1))
    assert isinstance(decision, Revert)
    assert decision.reason == "unsure"
    history = [*edits_that(keep_the_luck=False), run(9, [value - 0.004 for value in WIDE[:3]])]
    assert isinstance(decide(history, CONFIG), Confirm)
    assert isinstance(decide(history, NoiseConfig(max_attempts=3)), Revert)


def test_a_launch_has_a_price_and_never_less_than_the_least() -> None:
    history = [*edits_that(keep_the_luck=False), run(9, [value - 0.004 for value in WIDE[:3]])]
    assert isinstance(decide(history, NoiseConfig(price=0.0)), Confirm)
    assert isinstance(decide(history, NoiseConfig(price=10.0)), Revert)
    assert isinstance(decide(history, NoiseConfig(price=0.0, price_floor=10.0)), Revert)


def test_a_gap_in_the_baseline_is_an_attempt() -> None:
    assert judged([1.0, None, 0.999], [0.98]) == Confirm("r0000", 3)
    assert isinstance(judged([1.0, None, 0.999, None], [0.98]), Confirm)


def test_while_no_version_has_two_values_what_looks_better_is_launched_again() -> None:
    alone = [1.0, None, None, None]
    assert judged(alone, [0.98]) == Confirm("r0001", 1)
    assert judged(alone, [1.02]) == Revert("unmeasured")
    assert isinstance(judged(alone, [0.98, 0.981]), Advance | Confirm)


def test_what_has_the_first_value_at_all_is_kept() -> None:
    assert judged([None] * 4, [0.98]) == Advance()


def test_where_edits_keep_the_luck_equal_steps_on_every_seed_are_a_win() -> None:
    better = [value - 0.004 for value in WIDE[:3]]  # 0.6 sd
    alike = decide([*edits_that(keep_the_luck=True), run(9, better)], CONFIG)
    mixed = decide([*edits_that(keep_the_luck=False), run(9, better)], CONFIG)
    assert isinstance(alike, Advance)
    assert p_better(alike) == pytest.approx(0.84, abs=0.01)
    assert isinstance(mixed, Confirm)
    assert p_better(mixed) == pytest.approx(0.46, abs=0.01)


def test_a_value_as_bad_as_the_bests_on_its_bad_seed_is_no_win() -> None:
    """On seed 2 the best shows 1.010: a candidate that shows 1.009 there may well be equal."""
    decision = decide([*edits_that(keep_the_luck=True), run(9, [None, 1.009])], CONFIG)
    assert isinstance(decision, Revert)


def test_a_seed_without_a_value_is_skipped_and_the_rest_stays_aligned() -> None:
    gap = decide([*edits_that(keep_the_luck=True), run(9, [0.996, None, 0.986])], CONFIG)
    shifted = decide([*edits_that(keep_the_luck=True), run(9, [0.996, 0.986])], CONFIG)
    assert p_better(gap) > 0.7  # 0.004 better on both seeds
    assert p_better(shifted) < 0.5  # as it would be with 0.986 on the seed on which the best shows 1.010


def test_the_share_of_the_luck_that_edits_keep_is_learned() -> None:
    keeps = []
    for keep_the_luck in (True, False):
        decision = decide([*edits_that(keep_the_luck), run(9, [1.0])], CONFIG)
        assert decision.facts is not None
        keeps.append(decision.facts.best.keeps)
    assert keeps[0] > 0.8
    assert keeps[1] < 0.3


def test_the_budget_is_spent_by_what_was_kept_on_little_evidence() -> None:
    """The same candidate is kept after a sure advance, and launched again after a doubtful one."""
    better = [value - 0.004 for value in WIDE[:3]]
    history = [*edits_that(keep_the_luck=True), run(9, better)]
    step = replace(run(8, [value - 0.1 for value in WIDE[:4]], True), p_better=0.99)
    candidate = run(9, [value - 0.104 for value in WIDE[:3]])
    sure = decide([*history[:-1], step, candidate], CONFIG)
    doubtful = decide([*history[:-1], replace(step, p_better=0.6), candidate], CONFIG)
    plain = decide([*history[:-1], replace(step, p_better=None), candidate], CONFIG)
    assert isinstance(sure, Advance)
    assert not isinstance(doubtful, Advance)
    assert [one.facts and one.facts.best.advances for one in (sure, doubtful, plain)] == [1, 1, 0]
