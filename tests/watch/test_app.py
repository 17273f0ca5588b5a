"""The live view with a real daemon, by Textual's pilot: what it shows, its keys, a restart of the daemon."""

import asyncio
import gc
import os
import threading
import time
from collections.abc import Awaitable, Callable

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import RichLog

from arctl.watch import dialogs, view
from arctl.watch.actions import LogScreen
from arctl.watch.app import Watch
from arctl.watch.dialogs import TextScreen
from arctl.watch.paint import text_of
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.shell import UNTIL_TOLD

DEADLINE_S = 30.0
Story = Callable[[Watch, Pilot[None]], Awaitable[None]]


@pytest.fixture
def lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab whose daemon this process finds, with a run that was judged, one at work, and one that waits."""
    for name in ("HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, lab.environment[name])
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir(lab.root)
    lab.ready(seconds=300, max_runs=7)
    lab.edit(0.9)
    lab.run(note="the first one")
    lab.write(UNTIL_TOLD.format(go=str(lab.root / "go"), value=0.5))
    lab.submit(note="lr to 2e-4")
    lab.edit(0.7)
    lab.submit(note="wider")
    wait_until(lambda: lab.call("queue.list")["runs"][0]["state"] == "running", "the second one runs")
    return lab


def watched(lab: Lab, story: Story, size: tuple[int, int] = (100, 30)) -> None:
    """Tell the story of a person at the view."""

    async def tell() -> None:
        app = Watch((str(lab.project), SLUG))
        async with app.run_test(size=size) as pilot:
            await story(app, pilot)

    asyncio.run(tell())


async def until(pilot: Pilot[None], reached: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait for a condition with a deadline."""
    end = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < end, what()
        await pilot.pause(0.02)


async def see(app: Watch, pilot: Pilot[None], *texts: str) -> None:
    """Wait until the board shows all of these."""
    await until(pilot, lambda: all(text in app.board.text() for text in texts), app.board.text)


async def read(app: Watch, pilot: Pilot[None], *texts: str) -> str:
    """Wait until the text on top has all of these in it."""

    def text() -> str:
        screen = app.screen
        return (
            "\n".join(strip.text for strip in screen.query_one(RichLog).lines) if top() else app.board.text()
        )

    def top() -> bool:
        return isinstance(app.screen, TextScreen)

    await until(pilot, lambda: top() and all(each in text() for each in texts), text)
    return text()


def test_it_shows_what_was_judged_what_runs_and_what_waits(lab: Lab) -> None:
    async def story(app: Watch, pilot: Pilot[None]) -> None:
        await see(app, pilot, "r0002", "/5:00", "started", "r0003 1st in the queue", "submit r0003", "wider")
        await see(app, pilot, "r0001 advance ", "the first one", "best 0.9 @ r0001")
        await see(app, pilot, "max_runs 1/7", "live", "val/loss of r0002, dotted: the best, r0001")
        (lab.root / "go").touch()
        await see(app, pilot, "r0003 revert", "r0002 advance", "nothing runs, nothing waits", "max_runs 3/7")
        await see(app, pilot, "agent: thinking for", "best 0.5 @ r0002")
        lab.get("session.stop")
        await see(app, pilot, "session not live (manual)")

    watched(lab, story)


def test_log_diff_report_and_help_are_shown_and_left(lab: Lab) -> None:
    async def story(app: Watch, pilot: Pilot[None]) -> None:
        await see(app, pilot, "r0002", "/5:00")
        await pilot.press("l")
        await read(app, pilot, "started")
        await pilot.press("c", "e", "l")  # of the board: they do nothing over a text
        assert len(app.screen_stack) == 2
        (lab.root / "go").touch()
        await read(app, pilot, "started", "val/loss: 0.5", "— end —")
        await pilot.press("q")
        await see(app, pilot, "r0003 revert")
        await pilot.press("down", "down", "d")
        text = await read(app, pilot, "+while not os.path.exists(", '-print("val/loss: 0.9")')
        assert "+++ r0002/train.py" in text
        await pilot.press("escape", "o")
        await read(app, pilot, "val/loss", "r0002")
        await pilot.press("q", "p")
        page = lab.root / f"report-{SLUG}.html"
        await see(app, pilot, f"the page is written: {page}")
        assert "<html" in page.read_text()
        await pilot.press("question_mark")
        await read(app, pilot, "follow the log", "leave: whatever runs goes on")
        await pilot.press("q")
        await until(pilot, lambda: not isinstance(app.screen, TextScreen), app.board.text)

    watched(lab, story)


def test_a_run_is_held_and_released_and_cancelled_only_after_a_yes(lab: Lab) -> None:
    async def story(app: Watch, pilot: Pilot[None]) -> None:
        await see(app, pilot, "r0003 1st in the queue")
        await pilot.press("h")
        await see(app, pilot, "only a run that waits can be held")
        await pilot.press("down", "down", "h")
        await see(app, pilot, "r0003 is held until it is released", "r0003 waits: held")
        await pilot.press("h")
        await see(app, pilot, "r0003 may start again", "r0003 1st in the queue")
        await pilot.press("c", "n", "escape")
        assert [run["run_id"] for run in lab.call("queue.list")["runs"]] == ["r0002", "r0003"]
        await pilot.press("c", "y")
        await see(app, pilot, "r0002 is cancelled", "r0002 interrupted")

    watched(lab, story)


def test_it_goes_on_over_a_crash_of_the_daemon_and_says_when_it_is_away(lab: Lab) -> None:
    async def story(app: Watch, pilot: Pilot[None]) -> None:
        await see(app, pilot, "live", "/5:00")
        lab.stop()
        await see(app, pilot, "not connected: the daemon was stopped; it goes on after: arctl daemon start")
        await pilot.press("d")
        await see(app, pilot, "the daemon does not answer")
        lab.start()
        await see(app, pilot, " live", "/5:00")
        await pilot.press("escape")
        (lab.root / "go").touch()
        await see(app, pilot, "r0002 advance", "r0003 revert")

    watched(lab, story)


def test_the_experiment_is_switched_and_runs_are_filtered(lab: Lab) -> None:
    async def story(app: Watch, pilot: Pilot[None]) -> None:
        await see(app, pilot, "r0001 advance", "/5:00")
        await pilot.press("slash", *"first", "enter")
        await see(app, pilot, "(filter: first)", "r0001 advance")
        assert "r0003" not in app.board.text().split("verdicts")[0].split("runs:")[1]
        await pilot.press("slash", *["backspace"] * 5, "enter", "e", "down", "enter")
        await see(app, pilot, "261123-other", "no best yet", f"{SLUG} r0002")

    source = lab.project / "train.py"
    given = {"primary_metric": "acc", "primary_direction": "max", "train": str(source)}
    lab.call("experiment.init", project=str(lab.project), slug="261123-other", **given)
    watched(lab, story)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (30, 8)])
def test_it_fits_and_is_drawn_anew_when_the_terminal_changes(
    lab: Lab, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: neither an event nor the time that passes is needed."""
    monkeypatch.setattr(view, "AGES_S", 3600.0)

    async def story(app: Watch, pilot: Pilot[None]) -> None:
        await see(app, pilot, "r0002", "/5:00")
        app.events.close()
        for columns, lines in ((130, 50), size, (20, 5), size):
            await pilot.resize_terminal(columns, lines)
            await until(pilot, lambda lines=lines: len(app.board.lines) == lines, app.board.text)  # type: ignore[misc]
            assert {cell_len(text_of(line)) for line in app.board.lines} == {columns}

    watched(lab, story)


def test_a_log_that_was_left_hears_of_a_daemon_that_went_away_and_shows_nothing() -> None:
    """A traceback of its thread would stand in the midst of the board."""
    log = LogScreen(("/srv/lr", SLUG, "r0001"))
    log.stream.lost("the daemon was stopped")
    assert list(log.log_of.lines) == []


def test_a_line_of_a_log_that_does_not_end_is_cut(lab: Lab) -> None:
    async def story(app: Watch, pilot: Pilot[None]) -> None:
        screen = TextScreen("a log", at_end=True)
        await app.push_screen(screen)
        for _ in range(20):
            screen.piece("x" * 1000)
        screen.end("x\nanother one")
        await read(app, pilot, "…", "another one", "— end —")
        assert "".join(strip.text for strip in screen.log_of.lines).count("x") == dialogs.LINE_MAX

    watched(lab, story)


def test_a_daemon_that_knows_no_live_events_is_an_error_with_a_mend(lab: Lab) -> None:
    async def story(app: Watch, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.fault is not None, app.board.text)
        assert app.fault is not None
        assert (
            app.fault.mend == "the daemon is of an earlier version: arctl daemon restart (running jobs go on)"
        )

    async def tell() -> None:
        app = Watch((str(lab.project), SLUG))
        app.events.params = lambda: {"of_a_later_version": True}
        async with app.run_test() as pilot:
            await story(app, pilot)

    asyncio.run(tell())


def bytes_read(pid: int) -> int:
    """All that a process has read, of files and sockets (proc(5), io)."""
    with open(f"/proc/{pid}/io") as file:
        return int(file.readline().split()[1])


def test_neither_side_reads_more_where_there_are_more_runs(lab: Lab) -> None:
    """3,000 rows more, of 200 bytes each: the daemon reads no more for its answers, nor the view of them."""
    (lab.root / "go").touch()
    wait_until(lambda: not lab.call("queue.list")["runs"], "all is judged")
    read: list[int] = []

    async def story(app: Watch, pilot: Pilot[None]) -> None:
        await see(app, pilot, "agent: thinking")
        lab.get("session.set", given={"max_runs": 8 + len(read)})
        await see(app, pilot, f"/{8 + len(read)} ")

    table = lab.folder / "results.tsv"
    row = table.read_text().splitlines()[-1].split("\t", 1)[1]
    for _ in range(2):
        watched(lab, story)  # warms up
        before = bytes_read(lab.pid) + bytes_read(os.getpid())
        watched(lab, story)
        read.append(bytes_read(lab.pid) + bytes_read(os.getpid()) - before)
        with table.open("a") as file:
            file.writelines(f"r{number:04}\t{row}{'x' * 100}\n" for number in range(4, 3004))
    assert read[1] < read[0] + (256 << 10), read


def test_a_view_that_ends_at_once_leaves_no_thread_and_no_connection(lab: Lab) -> None:
    """A socket that is left open is a ResourceWarning, and a thread that posts to the ended loop an error."""

    async def nothing(app: Watch, pilot: Pilot[None]) -> None:
        assert app.is_running

    async def a_log(app: Watch, pilot: Pilot[None]) -> None:
        await see(app, pilot, "wider")
        await pilot.press("l")

    threads = set(threading.enumerate())
    for story in (nothing, a_log, nothing):
        watched(lab, story)
        wait_until(lambda: not left(threads), "the end of its threads")
    gc.collect()


def left(before: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads of a view that were not there before."""
    return [thread for thread in threading.enumerate() if thread not in before and is_ours(thread)]


def is_ours(thread: threading.Thread) -> bool:
    """Tell apart the pool's threads, which asyncio ends with its loop."""
    return thread.is_alive() and not thread.name.startswith("asyncio")
