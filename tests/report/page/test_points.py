"""Which runs the page draws: all, or of a long history those that give it its shape."""

import random

from hypothesis import given
from hypothesis import strategies as st

from ardaemon.report.page.points import ADVANCE, MEASURE, POINTS_MAX, Point, Points, point_of
from tests.support.histories import run

FEW = 300  # drawn at most, where a test need not draw ten thousand


def points(count: int, seed: int = 1) -> list[Point]:
    """Runs of which every fiftieth advances and every ninth has no value."""
    dice = random.Random(seed)
    return [
        Point(
            number=number,
            kind=ADVANCE if number % 50 == 0 else "c" if number % 9 == 0 else "r",
            value=None if number % 9 == 0 and number % 50 else dice.gauss(1, 0.1),
            seconds=dice.uniform(1, 300),
            vram_mb=dice.uniform(1e3, 8e4),
        )
        for number in range(1, count + 1)
    ]


def kept(all_points: list[Point], most: int = FEW) -> list[Point]:
    collected = Points(most)
    for point in all_points:
        collected.add(point)
    return collected.kept()


def test_each_run_is_drawn_up_to_the_limit() -> None:
    assert kept(points(POINTS_MAX), POINTS_MAX) == points(POINTS_MAX)


def test_beyond_the_limit_no_more_than_that_are_drawn() -> None:
    for count in (FEW + 1, 2 * FEW, 37 * FEW):
        assert len(kept(points(count))) <= FEW


def test_advances_the_newest_and_all_extremes_are_never_left_out() -> None:
    everything = points(4_000)
    numbers = {point.number for point in kept(everything)}
    valued = [point for point in everything if point.value is not None]
    wanted = [point for point in everything if point.kind == ADVANCE]
    wanted += everything[-FEW // 5 :]
    wanted += [min(valued, key=lambda p: p.value or 0), max(valued, key=lambda p: p.value or 0)]
    wanted += [max(everything, key=lambda p: p.seconds), max(everything, key=lambda p: p.vram_mb or 0)]
    assert {point.number for point in wanted} <= numbers


def test_runs_without_a_value_are_thinned_and_not_lost() -> None:
    assert any(point.value is None and point.number < 2_000 for point in kept(points(4_000)))


def test_the_old_runs_are_drawn_with_one_density() -> None:
    """However the runs came in, each half of the old ones has about as many points."""
    old = [p.number for p in kept(points(6_000)) if p.kind != ADVANCE and p.number < 6_000 - FEW // 5]
    first = sum(number < 3_000 for number in old)
    assert 0.4 < first / len(old) < 0.6


def test_more_advances_than_there_is_room_for_are_thinned_as_well() -> None:
    assert len(kept([Point(number, ADVANCE, -number, 1.0, None) for number in range(1, 5_000)])) <= FEW


def test_a_rerun_of_the_best_is_a_measurement_if_it_gave_a_value() -> None:
    kinds = [
        point_of(run(1, measure=True, verdict=verdict)).kind for verdict in ("revert", "crash", "timeout")
    ]
    assert kinds == [MEASURE, "c", "t"]


@given(st.lists(st.integers(1, 10**9 - 1), unique=True, max_size=400))
def test_whatever_the_numbers_the_points_come_in_their_order(numbers: list[int]) -> None:
    numbers_kept = [p.number for p in kept([Point(n, "r", 1.0, 1.0, None) for n in numbers], 50)]
    assert numbers_kept == sorted(set(numbers_kept))
    assert len(numbers_kept) <= 50
