"""The table in a real browser: it sorts, filters and turns pages, and says the same as the chart."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support.browser import listed, needs_chromium
from tests.support.histories import run
from tests.support.pages import RUNS, page_of

pytestmark = needs_chromium
Show = Callable[..., Page]
UNNAMED = """() => [...document.querySelectorAll("button, input, select")]
  .filter((node) => !node.textContent.trim() && !(node.labels && node.labels.length)).length"""


def test_it_sorts_by_a_column_and_says_so(show: Show) -> None:
    view = show(page_of(RUNS))
    assert listed(view) == [f"r000{n}" for n in range(8, 0, -1)]
    value, head = view.get_by_role("button", name="Value"), view.get_by_role("columnheader", name="Value")
    value.click()
    assert listed(view) == "r0002 r0001 r0008 r0006 r0004 r0007 r0003 r0005".split()  # without a value: last
    assert head.get_attribute("aria-sort") == "descending"
    value.press("Enter")
    assert listed(view) == "r0007 r0004 r0006 r0008 r0001 r0002 r0003 r0005".split()
    assert head.get_attribute("aria-sort") == "ascending"
    assert view.evaluate("document.activeElement.textContent").startswith("Value")


def test_each_column_sorts_both_ways(show: Show) -> None:
    view = show(page_of(RUNS))
    for column in ("Verdict", "Δ best", "Seconds", "Memory", "Note", "Run"):
        button = view.get_by_role("button", name=column)
        button.click()
        one = listed(view)
        button.click()
        assert sorted(one) == sorted(listed(view)), column
        assert one != listed(view), column


def test_the_filter_looks_into_note_diff_reason_verdict_and_name(show: Show) -> None:
    view = show(page_of(RUNS))
    for words, found in (
        ("lr", ["r0002"]),
        ("WARMUP 500", ["r0004"]),
        ("memory", ["r0003"]),
        ("timeout", ["r0005"]),
        ("r0008", ["r0008"]),
        ("nowhere", []),
    ):
        view.get_by_role("searchbox").fill(words)
        assert listed(view) == found, words
        assert view.get_by_role("status").inner_text() == f"{len(found)} of 8 runs"


def test_the_legend_takes_a_kind_of_runs_out_of_chart_and_table(show: Show) -> None:
    view = show(page_of(RUNS))
    crash = view.get_by_role("button", name="crash 1")
    crash.click()
    assert crash.get_attribute("aria-pressed") == "false"
    assert view.locator("#progress .k-c").count() == 0
    assert "r0003" not in listed(view)
    crash.click()
    assert "r0003" in listed(view)


def test_a_long_table_turns_pages(show: Show) -> None:
    view = show(page_of(run(n, value=1 / n) for n in range(1, 121)))
    assert len(listed(view)) == 50
    view.get_by_role("button", name="Next").click()
    view.get_by_role("button", name="Next").click()
    assert listed(view) == [f"r{n:04d}" for n in range(20, 0, -1)]
    expect(view.get_by_role("navigation")).to_contain_text("101–120 of 120")


def test_it_is_the_charts_alternative_for_a_screen_reader(show: Show) -> None:
    view = show(page_of(RUNS))
    table = view.get_by_role("table", name="Runs; the head of a column sorts by it.")
    assert table.get_by_role("columnheader").count() == 7
    assert table.get_by_role("row").count() == 1 + len(RUNS)
    assert view.get_by_role("img", name="val/loss by run").count() == 1
    assert view.locator("#spoken").get_attribute("aria-live") == "polite"
    assert view.evaluate(UNNAMED) == 0
