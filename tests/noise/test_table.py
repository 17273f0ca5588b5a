"""The figures of the table: means with their standard errors, shares of all advances, cells."""

import pytest

from tests.noise.nights import Night
from tests.noise.table import DESIGNED, OURS, PLAIN, Row, broken, distances, figures, markdown, numbers, rows

NIGHTS = [Night(-0.06, 10, 1, 0.5, 6, 2.0), Night(-0.04, 6, 1, -0.5, 4, 1.0)]


def test_the_nights_of_a_row_are_summed_up_with_their_errors() -> None:
    one = figures(NIGHTS)
    assert one.final == pytest.approx((-0.05, 0.01))
    assert one.kept == pytest.approx((8.0, 2.0))
    assert one.false[0] == pytest.approx(2 / 16)
    assert one.false[1] == pytest.approx(0.03125)  # of 1 - 10/8 and 1 - 6/8, each over the 8 of a night
    assert one.flattery[0] == 0
    assert one.again == 5
    assert one.expected_false == pytest.approx(3 / 16)


def test_a_night_without_advances_has_no_false_ones() -> None:
    assert figures([Night(0.0, 0, 0, 0.0)] * 2).false == (0.0, 0.0)


def test_the_distance_from_the_design_counts_the_errors_of_both() -> None:
    row = Row("base", OURS, 0.002)
    final, _ = DESIGNED["base", OURS][1]
    error = 0.01 * (1 + 2 / 300) ** 0.5
    assert distances({row: NIGHTS}) == {row: pytest.approx((final / 1e3 + 0.05) / -error)}


def test_a_promise_is_broken_only_by_more_than_chance() -> None:
    sure = [Night(-0.06, 2, 1, 0.6), Night(-0.06, 2, 1, 0.7)] * 30
    assert broken({Row("base", OURS, 0.002): sure}) == ["base, noise 0.002: its best shows +0.65 ± 0.01 sd"]
    assert broken({Row("base", OURS, 0.002): [Night(0, 2, 1, 2.0), Night(0, 2, 1, -0.7)]}) == []
    assert broken({Row("edits do nothing", OURS, 0.0005): [Night(0.0, 2, 2, 0.0)] * 9}) == [
        "edits do nothing: 2.00 ± 0.00 advances a night"
    ]


def test_the_table_has_every_row_and_the_designs_figures_below_it() -> None:
    table = markdown(dict.fromkeys(rows(), NIGHTS))
    assert "| noise-aware | 2 | -50.0 ± 10.0, 12 ± 3% |" in table
    assert table.count("*as designed*") == len(DESIGNED)
    assert all(f"**{row.world}**" in table and f"| {row.policy} |" in table for row in rows())


@pytest.mark.parametrize(
    ("world", "policy", "expected"),
    [
        ("base", OURS, 60),
        ("edits do nothing", OURS, 180),
        ("8% of the edits crash", OURS, 20),
        ("base", PLAIN, 300),
    ],
)
def test_where_edits_do_nothing_there_are_most_nights(world: str, policy: str, expected: int) -> None:
    chosen = numbers(Row(world, policy, 0.002), 60)
    assert len(chosen) == expected
    assert max(chosen) >= 299 - 300 // expected
    assert len(numbers(Row(world, policy, 0.002), 300)) >= 100
