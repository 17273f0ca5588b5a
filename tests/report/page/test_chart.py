"""The chart in a real browser: what it shows, and how pointer and keyboard find a run in it."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from ardaemon.report.page.audit import PageAudit
from tests.support.browser import detail, listed, needs_chromium, point_at
from tests.support.histories import run
from tests.support.pages import RUNS, SLUG, built, chapter, page_of

pytestmark = needs_chromium
Show = Callable[..., Page]
DRAWN_MS = 2_000  # for ten thousand runs, from the last byte of the page on
ELEMENTS_MAX = 60  # of the chart, however many runs it has
EMPTY = (5, 5)  # a place where no run is


def test_the_page_says_how_the_experiment_stands(show: Show) -> None:
    view = show(page_of(RUNS))
    assert view.title() == f"{SLUG} – experiment report"
    for holder, text in (
        ("#figures", "0.7500"),
        ("#figures", "2 advances, 2 reverts, 1 crash, 1 timeout, 2 measurements"),
        ("#progress-note", "lower is better"),
        ("#noise-text", "1 snapshot was run more than once, 2 runs in all."),
        ("#failed", "crash oom"),
        ("#varied", "warmup"),
    ):
        expect(view.locator(holder)).to_contain_text(text)


def test_the_hidden_audit_is_there_only_where_it_was_asked_for(show: Show) -> None:
    expect(show(page_of(RUNS)).locator("#audit-part")).to_be_hidden()
    rows = (("r0001", 1.0, 1.25, ""), ("r0004", 0.75, None, "exited 1: <b>no data</b>"))
    view = show(built([chapter(RUNS, audit=PageAudit(rows, "it got no better"))]))
    expect(view.locator("#audit-part")).to_contain_text("it got no better")
    expect(view.locator("#audit tbody tr").nth(0)).to_contain_text("1.2500")
    expect(view.locator("#audit tbody tr").nth(1)).to_contain_text("exited 1: <b>no data</b>")


def test_each_kind_of_run_has_a_shape_of_its_own(show: Show) -> None:
    view = show(page_of(RUNS))
    drawn = view.locator("#progress path[class^=k-]").evaluate_all(
        "(all) => all.map((one) => one.classList[0])"
    )
    assert sorted(drawn) == ["k-a", "k-c", "k-m", "k-r", "k-t"]
    shapes = view.evaluate("Object.keys(KINDS).map((kind) => outline(kind, 0, 0).replace(/[^A-Z]/gi, ''))")
    assert len({*shapes}) >= len(shapes) - 2  # a circle for advance and revert, a line for two others
    fill = "(one) => getComputedStyle(one).fill"
    assert view.locator("#progress .k-r").evaluate(fill) == "none"
    assert view.locator("#progress .k-a").evaluate(fill) != "none"


def test_the_running_best_is_a_line_of_steps(show: Show) -> None:
    line = show(page_of(RUNS)).locator("#progress .best").get_attribute("d")
    assert line is not None
    # From the first advance to the second, and on to the right edge.
    assert re.fullmatch(r"M[\d.,]+H[\d.]+V[\d.]+H[\d.]+", line)


def test_a_run_is_compared_with_what_it_had_to_beat(show: Show) -> None:
    """Runs at work at the same time are judged in their own order; a baseline has nothing to beat."""
    first = {"best_before": 1.0, "best_run_before": "r0001"}
    runs = (
        run(1, verdict="advance", value=1.0),
        run(2, verdict="advance", value=0.5, best_before=0.6, best_run_before="r0003"),
        run(3, verdict="advance", value=0.6, **first),
        run(4, verdict="advance", value=2.0),
        run(5, value=0.4, valid=False, best_before=2.0, best_run_before="r0004"),
    )
    view = show(page_of(runs))
    for run_id, said in (
        ("r0002", "better, −0.1 against 0.6 (r0003)"),
        ("r0003", "better, −0.4 against 1.0 (r0001)"),
        ("r0004", "the first value to compare with"),
        ("r0005", "better, −1.6 against 2.0 (r0004)"),
        ("r0005", "a constraint was broken"),
    ):
        view.locator("#rows").get_by_role("button", name=run_id).click()
        expect(view.locator("#detail")).to_contain_text(said)
        view.get_by_role("button", name="Unpin").click()
    line = str(view.locator("#progress .best").get_attribute("d"))
    assert re.fullmatch(
        r"M[\d.,]+H[\d.]+V[\d.]+H[\d.]+M[\d.,]+H[\d.]+", line
    )  # up for the new baseline alone


def test_the_pointer_shows_note_value_delta_and_diff(show: Show) -> None:
    view = show(page_of(RUNS))
    assert "r0004" in detail(view)  # nothing is pointed at: the best
    point_at(view, 2)
    for text in ("r0002", "1.2", "worse, +0.2", "(r0001)", "lr 3e-4 -> 1e-2", "-lr = 3e-4", "+lr = 1e-2"):
        expect(view.locator("#detail")).to_contain_text(text)
    view.mouse.move(*EMPTY)
    expect(view.locator("#detail")).to_contain_text("r0004")


def test_a_click_pins_a_run_until_it_is_let_go(show: Show) -> None:
    view = show(page_of(RUNS))
    point_at(view, 2)
    view.mouse.down()
    view.mouse.up()
    point_at(view, 8)
    expect(view.locator("#detail")).to_contain_text("dropout")
    view.mouse.move(*EMPTY)
    expect(view.locator("#detail")).to_contain_text("lr 3e-4")
    assert view.url.endswith(f"#{SLUG}/r0002")
    view.reload()
    expect(view.locator("#detail")).to_contain_text("lr 3e-4")
    view.get_by_role("button", name="Unpin").click()
    expect(view.locator("#detail")).to_contain_text("r0004")


def test_what_differs_in_a_changed_line_is_marked(show: Show) -> None:
    view = show(page_of(RUNS))
    assert view.locator("#detail .diff b").all_inner_texts() == ["100", "500"]
    assert view.locator("#detail .diff .del").count() == view.locator("#detail .diff .add").count() == 1


def test_the_keyboard_alone_goes_through_the_chart(show: Show) -> None:
    view = show(page_of(RUNS))
    chart, spoken = view.get_by_role("application"), view.locator("#spoken")
    assert "lower is better; 8 runs; the best is 0.7500 at r0004" in str(chart.get_attribute("aria-label"))
    chart.focus()
    for key, said in (
        ("End", "r0008"),
        ("ArrowLeft", "r0007, measurement"),
        ("Home", "r0001, advance"),
        ("ArrowRight", "r0002, revert, val/loss 1.2000, +0.2000 against the best. lr 3e-4 -> 1e-2"),
        ("Enter", "Pinned: r0002"),
    ):
        view.keyboard.press(key)
        expect(spoken).to_contain_text(said)
    view.keyboard.press("End")
    view.keyboard.press("Tab")
    assert "r0002" in detail(view)
    chart.focus()
    view.keyboard.press("Escape")
    expect(spoken).to_have_text("No run is pinned.")


def test_a_run_far_off_does_not_press_the_others_flat(show: Show) -> None:
    values = [999.0 if number == 30 else 1 + number % 7 / 100 for number in range(1, 60)]
    view = show(page_of(run(number, value=value) for number, value in enumerate(values, 1)))
    chart = view.locator("#progress svg")
    expect(chart).to_contain_text("1.02")
    view.get_by_role("button", name="Show 1 off the scale").click()
    expect(chart).to_contain_text("1,000")
    view.get_by_role("button", name="Scale to most runs").click()
    expect(chart).to_contain_text("1.02")


def test_ten_thousand_runs_are_drawn_at_once(show: Show) -> None:
    verdicts = ("advance", *("revert",) * 98)
    view = show(page_of(run(n, value=1 / n, verdict=verdicts[n % 99]) for n in range(1, 10_001)))
    taken = []
    for _ in range(3):  # other tests run at the same time
        view.reload()
        taken.append(view.evaluate("performance.timing.loadEventEnd - performance.timing.responseEnd"))
    assert min(taken) < DRAWN_MS
    assert view.locator("#progress svg *").count() < ELEMENTS_MAX


def test_of_a_longer_history_the_page_says_what_is_left_out(show: Show) -> None:
    view = show(page_of(run(n, value=1 / n) for n in range(1, 10_400)))
    expect(view.locator("#progress-note")).to_contain_text("of 10,399 runs are drawn and listed")
    assert listed(view)[0] == "r10399"


def test_a_run_whose_diff_has_no_room_names_the_command(show: Show) -> None:
    diff = "+" + "z" * 580 + "\n"
    view = show(page_of(run(n, value=1 / n, diff=diff) for n in range(1, 1_200)))
    view.get_by_role("searchbox").fill("r0001")
    view.locator("#rows tr").first.click()
    assert "Its diff is not in this page: arctl diff r0001" in detail(view)


def test_the_newest_runs_of_a_longer_history_are_drawn_no_denser_than_the_others(show: Show) -> None:
    view = show(page_of(run(n, value=1 + n % 97 / 1000) for n in range(1, 30_000)))
    spots = view.evaluate("charts[0].spots.map(([place]) => current().run[place])")
    quarters = [sum(n // 7_500 == quarter for n in spots) for quarter in range(4)]
    assert max(quarters) < 1.2 * min(quarters), quarters
    assert view.evaluate("current().size") > 1.2 * len(spots)  # the table has all of the newest


def test_what_is_compared_with_a_run_is_said(show: Show) -> None:
    same = run(2, value=0.5, base="r0001", size=10)
    lost = run(3, value=0.5, base="r0001")
    cut = run(4, value=0.5, base="r0002", size=10, diff="+a\n", diff_cut=True)
    view = show(page_of([run(1, value=1.0, base="r0000", size=9, diff="+a\n"), same, lost, cut]))
    for run_id, said in (
        ("r0001", "Against r0000"),
        ("r0002", "The same code as r0001."),
        ("r0003", "Its diff is not in this page: arctl diff r0003"),
        ("r0004", "Against r0002, cut; all of it: arctl diff r0004"),
    ):
        view.locator("#rows").get_by_role("button", name=run_id).click()
        expect(view.locator("#detail")).to_contain_text(said)


@pytest.mark.parametrize("runs", [[], [run(1, status="crash", verdict="crash", valid=False)]])
def test_an_experiment_that_has_no_best_says_so(show: Show, runs: list[object]) -> None:
    view = show(page_of(runs))  # type: ignore[arg-type]
    expect(view.locator("#figures")).to_contain_text("no run has advanced")
    assert len(listed(view)) == len(runs)
