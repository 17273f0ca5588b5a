"""A session with --verdict noise in the page: launches, intervals, the luckiest value, within its bytes."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace
from playwright.sync_api import Page, expect

from ardaemon.core.facts import RunFacts
from ardaemon.core.model import SeedValue
from ardaemon.report.page.build import PAGE_MAX
from ardaemon.report.page.launches import LAUNCHES_BYTES, SEEDS_MAX, launches_of
from ardaemon.report.page.records import encoded
from tests.report.test_luck import ADVANCE, BASELINE, LUCK, NIGHT, frame
from tests.support.browser import detail, needs_chromium
from tests.support.histories import history, run
from tests.support.pages import RUNS, built, chapter, data_of, page_of

Show = Callable[..., Page]


def link_of(html: bytes) -> Any:
    return data_of(html)["links"][0]


def test_runs_launched_more_than_once_and_intervals_are_in_the_page() -> None:
    link = link_of(page_of(NIGHT, frame()))
    # r0004 is the best: its values and its mean are those of best.json, and so are the baseline's values.
    assert link["launches"] == [
        [4, [0.72, 0.74, 0.78], 0.74, 0.76, 0.971],
        [1, [1.02, 0.99, None, 0.96], 0.9805026, 0.9994974, None],
        [3, [0.66, 0.74], None, None, None],
    ]
    assert sum(link["noise"]["counts"]) == 8


def test_a_plain_session_has_none_in_its_page() -> None:
    plain = link_of(page_of(RUNS))
    assert (plain["launches"], plain["summary"]["luck"]) == ([], None)


def noisy(count: int) -> Iterator[RunFacts]:
    """A long night in which each run has as many launches as a session allows."""
    for number, each in enumerate(history(count)):
        values = tuple(SeedValue(seed=seed, value=1.23456789 + number) for seed in range(32))
        yield replace(each, values=values, estimate=1.23456789, estimate_sd=0.123456789, p_better=0.123456789)


def test_a_long_night_with_many_launches_fits_and_the_advances_come_first() -> None:
    html = page_of(noisy(6_000), frame())
    assert len(html) <= PAGE_MAX
    launches = link_of(html)["launches"]
    assert len(encoded(launches)) <= LAUNCHES_BYTES + 2
    advances = [each[0] for each in launches if each[2] is not None]
    assert advances == sorted(advances, reverse=True)
    assert [each[0] for each in launches[: len(advances)]] == advances


def test_a_chain_of_noisy_experiments_fits() -> None:
    chapters = [chapter(noisy(600), frame()) for _ in range(4)]
    assert len(built(chapters, 1)) <= PAGE_MAX


def test_what_no_screen_can_show_is_left_out() -> None:
    far = (SeedValue(seed=10**9, value=1.0), SeedValue(seed=-1, value=1.0), SeedValue(seed=1, value=2.0))
    assert launches_of(run(1, values=far)) is None
    many = tuple(SeedValue(seed=seed, value=1.0) for seed in range(500))
    found = launches_of(run(1, values=many))
    assert found is not None
    assert len(found.values) == SEEDS_MAX
    assert launches_of(run(1, verdict="advance", estimate=1e308, estimate_sd=1e308)) is None


@needs_chromium
def test_the_page_shows_intervals_launches_and_the_luckiest_value(show: Show) -> None:
    luck = replace(LUCK, launches=1)
    others = (run(number, value=value, note="far") for number, value in ((5, 0.8), (6, 0.9), (7, 1.0)))
    view = show(page_of((*NIGHT, *others), frame(luck)))
    for holder, text in (
        ("#figures", "r0004, 90%: 0.74 to 0.76; r0001 began with 0.99"),
        ("#figures", "r0003 with seed 0; flatters by 0.09, 9 times the noise"),
        ("#figures", "7 df; 4 of 1 launch were confirmations; expected false: 0.1 of 1 advance"),
        ("#progress-note", "A line with ends"),
        ("#progress", "luckiest 0.66, r0003"),
        ("#progress", "best 0.75, r0004"),
        ("#noise-text", "standard deviation 0.01 (7 degrees of freedom)"),
        ("#detail", "mean over seeds, 90%: 0.74 to 0.76; P=0.97"),
        ("#detail", "seed 2: 0.78"),
    ):
        expect(view.locator(holder)).to_contain_text(text)
    (whiskers, points) = (
        view.locator(f"#progress .{kind}").get_attribute("d") for kind in ("whisker", "launch")
    )
    assert str(whiskers).count("V") == 2
    assert str(points).count("Z") == 8
    assert view.locator("#columns th").all_inner_texts()[4] == "By seed"
    listed = view.locator("#rows tr td.seeds").all_inner_texts()
    assert listed == ["", "", "", "0.72, 0.74, 0.78", "0.66, 0.74", "", "1.02, 0.99, –, 1 more"]
    view.locator("#rows").get_by_role("button", name="r0003").click()
    assert "the mean of its launches as it was judged" in detail(view)
    for _ in range(2):  # upwards, then downwards
        view.get_by_role("button", name="By seed").click()
    assert view.locator("#rows tr td.run").first.inner_text() == "r0001"


@needs_chromium
def test_the_line_of_the_best_follows_an_advance_whose_predecessor_was_drawn_better(show: Show) -> None:
    """The best's later launches made its mean worse, and what beat it is drawn at a worse value."""
    later = run(
        5,
        verdict="advance",
        value=0.8,
        best_before=0.85,
        best_run_before="r0004",
        estimate=0.78,
        estimate_sd=0.01,
    )
    line = (
        show(page_of((BASELINE, ADVANCE, later), frame(None))).locator("#progress .best").get_attribute("d")
    )
    assert re.fullmatch(r"M[\d.,]+H[\d.]+V[\d.]+H[\d.]+V[\d.]+H[\d.]+", str(line))


@needs_chromium
def test_a_plain_page_draws_none_of_it(show: Show) -> None:
    view = show(page_of(RUNS))
    assert view.locator("#progress :is(.whisker, .launch, .lucky)").count() == 0
    assert view.locator("td.seeds, th.w-seeds, .six").count() == 0
