"""When an experiment is over: the order of reasons, what plateau counts, the threshold both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ardaemon.core.model import Best, Counters, Direction, Primary, Settings, Status, Termination, Verdict
from ardaemon.judging.terminate import Tally, count, judge

EVERYTHING = Settings(
    seconds=1, threshold=0.5, plateau=2, max_runs=3, max_hours=8, max_gpu_hours=2, max_failures=2
)
SPENT = Counters(revert=3, plateau=2, since_start=3)


def best(value: float, direction: Direction = "min", valid: bool = True) -> Best:
    return Best(run_id="r0001", primary=Primary("m", direction), value=value, valid=valid)


def ended(verdict: Verdict, comparable: bool = True) -> Tally:
    return Tally(
        status="ok" if verdict in ("advance", "revert") else verdict,  # type: ignore[arg-type]
        verdict=verdict,
        comparable=comparable,
    )


def counted(*runs: Tally) -> Counters:
    counters = Counters()
    for run in runs:
        counters = count(counters, run)
    return counters


def test_the_reasons_come_in_the_order_of_the_design() -> None:
    reached, not_reached = best(0.4), best(0.6)
    assert judge(EVERYTHING, SPENT, reached, "unclean", manual=True) == "unclean"
    assert judge(EVERYTHING, SPENT, reached, "ok", manual=True) == "manual"
    assert judge(EVERYTHING, SPENT, reached, "ok", manual=False) == "primary_threshold"
    assert judge(EVERYTHING, SPENT, not_reached, "ok", manual=False) == "plateau"
    fresh = Counters(plateau=1, since_start=3)
    assert judge(EVERYTHING, fresh, not_reached, "ok", manual=False) == "max_runs"
    spent = Counters(failures=2, gpu_seconds=7200)
    assert judge(EVERYTHING, spent, not_reached, "crash", manual=False, hours=8) == "max_hours"
    assert judge(EVERYTHING, spent, not_reached, "crash", manual=False, hours=7.99) == "max_gpu_hours"
    assert judge(EVERYTHING, Counters(failures=2), not_reached, "crash", manual=False) == "max_failures"
    under = Counters(plateau=1, since_start=2, failures=1, gpu_seconds=7199)
    assert judge(EVERYTHING, under, not_reached, "ok", manual=False, hours=7.99) is None


def test_without_limits_nothing_ends_it_but_unclean_and_manual() -> None:
    endless, many = Settings(seconds=1), Counters(revert=10**6, plateau=10**6, since_start=10**6)
    others: tuple[Status, ...] = ("ok", "crash", "timeout", "invalid", "interrupted")
    many = replace(many, failures=10**6, gpu_seconds=1e9)
    for status in others:
        assert judge(endless, many, best(-1e9), status, manual=False, hours=1e6) is None
    assert judge(endless, many, None, "unclean", manual=False) == "unclean"
    assert judge(endless, many, None, "ok", manual=True) == "manual"


@pytest.mark.parametrize(
    ("direction", "value", "reached"),
    [
        *(("min", 0.5, True), ("min", 0.49, True), ("min", 0.51, False)),
        *(("max", 0.5, True), ("max", 0.51, True), ("max", 0.49, False)),
    ],
)
def test_the_threshold_is_reached_at_or_beyond_its_value(
    direction: Direction, value: float, reached: bool
) -> None:
    why = judge(Settings(seconds=1, threshold=0.5), Counters(), best(value, direction), "ok", manual=False)
    assert why == ("primary_threshold" if reached else None)


def test_an_invalid_baseline_or_no_best_reaches_no_threshold() -> None:
    settings = Settings(seconds=1, threshold=0.5)
    for standing in (None, best(0.1, valid=False)):
        assert judge(settings, Counters(), standing, "ok", manual=False) is None


def test_a_threshold_of_zero_is_a_threshold() -> None:
    settings = Settings(seconds=1, threshold=0.0)
    assert judge(settings, Counters(), best(-0.1), "ok", manual=False) == "primary_threshold"


def test_plateau_counts_comparable_runs_in_a_row_and_an_advance_starts_it_anew() -> None:
    assert counted(ended("revert"), ended("crash"), ended("timeout")).plateau == 3
    assert counted(ended("revert"), ended("revert"), ended("advance")).plateau == 0
    assert counted(ended("advance"), ended("revert")).plateau == 1


def test_what_says_nothing_about_the_idea_neither_counts_nor_resets_the_plateau() -> None:
    silent = [
        ended("interrupted", False),
        ended("invalid", False),
        ended("crash", False),
    ]
    assert counted(ended("revert"), *silent, ended("revert")).plateau == 2


def test_max_runs_counts_every_run_crashes_timeouts_and_interrupted_ones_too() -> None:
    runs = [ended("crash"), ended("timeout"), ended("interrupted", False), ended("invalid", False)]
    counters = counted(*runs)
    assert counters.since_start == 4
    settings = Settings(seconds=1, max_runs=4)
    assert judge(settings, counters, None, "invalid", manual=False) == "max_runs"


def test_failures_in_a_row_count_and_a_run_that_is_ok_begins_anew() -> None:
    bad = Tally(status="crash", verdict="crash", comparable=True, failed=True)
    missing = Tally(status="invalid", verdict="revert", comparable=True, failed=True)
    lost = Tally(status="crash", verdict="crash", comparable=False)
    stopped = Tally(status="interrupted", verdict="interrupted", comparable=False)
    assert counted(bad, missing, lost, stopped, bad).failures == 3, "what is lost does not begin anew"
    assert counted(bad, bad, ended("revert")).failures == 0
    assert count(counted(bad, bad), bad, current=False).failures == 2, "a run of an earlier session"


def test_a_rerun_of_the_best_counts_as_no_revert_and_one_that_failed_as_how_it_did() -> None:
    well = Tally(status="ok", verdict="revert", comparable=False, measure=True)
    failed = Tally(status="crash", verdict="crash", comparable=False, measure=True)
    counters = counted(well, failed)
    assert (counters.measure, counters.revert, counters.crash, counters.total) == (1, 0, 1, 2)


VERDICTS: tuple[Verdict, ...] = ("advance", "revert", "invalid", "crash", "timeout", "interrupted")


@given(st.lists(st.tuples(st.sampled_from(VERDICTS), st.booleans()), max_size=60))
def test_every_run_is_counted_once_under_its_verdict(runs: list[tuple[Verdict, bool]]) -> None:
    counters = counted(*(ended(verdict, comparable) for verdict, comparable in runs))
    assert counters.total == counters.since_start == len(runs)
    for verdict in VERDICTS:
        assert getattr(counters, verdict) == sum(v == verdict for v, _ in runs)


@given(st.lists(st.tuples(st.sampled_from(VERDICTS), st.booleans()), max_size=60), st.integers(1, 5))
def test_plateau_ends_it_exactly_when_the_last_n_comparable_runs_did_not_improve(
    runs: list[tuple[Verdict, bool]], limit: int
) -> None:
    counters = counted(*(ended(verdict, comparable) for verdict, comparable in runs))
    telling = [verdict for verdict, comparable in runs if comparable or verdict == "advance"]
    stuck = len(telling) >= limit and "advance" not in telling[-limit:]
    expected: Termination | None = "plateau" if stuck else None
    assert judge(Settings(seconds=1, plateau=limit), counters, None, "ok", manual=False) == expected
