"""The screen as text: at the three sizes it is what it was, at every size it fits, whatever others wrote."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from arctl.render.line import ordinal, spark
from arctl.watch.chart import Series, draw
from arctl.watch.layout import screen
from arctl.watch.model import Ask, Model
from arctl.watch.paint import ago, clock, fitted, text_of
from tests.support.page import DOCS
from tests.support.watching import NOW, PLACE, curve, night, queue, run, status

SCREENS = Path(__file__).parent / "screens"
SIZES = ((80, 24), (120, 40), (200, 60))


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The time of day is that of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def shown(model: Model, width: int, height: int) -> str:
    return "".join(text_of(line).rstrip() + "\n" for line in screen(model, width, height, NOW))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_screen_is_as_it_was(width: int, height: int) -> None:
    """To take a new one: remove the file, run this, and look at what was written."""
    file = SCREENS / f"{width}x{height}.txt"
    text = shown(night(), width, height)
    if not file.exists():
        file.write_text(text)
        pytest.fail(f"{file} is new: look at it")
    assert text == file.read_text()


def test_the_page_shows_the_screen() -> None:
    assert f"```\n{shown(night(), 80, 24)}```" in (DOCS / "watch.md").read_text()


@pytest.mark.parametrize("width", [1, 20, 40, 79, 80, 109, 110, 133, 300])
def test_every_line_is_as_wide_as_the_terminal_and_there_are_as_many(width: int) -> None:
    model = night()
    nasty = "\x1b[2J宽\u202e\n" * 50
    model.status["recent"][-1]["note"] = nasty
    model.runs[0].update(note=nasty, why=nasty)
    model.lost = model.notice = nasty
    for selected in (None, (*PLACE, "r0042"), (*PLACE, "r0043")):
        model.selected = selected
        for height in (1, 3, 5, 9, 24, 41):
            lines = screen(model, width, height, NOW)
            assert [cell_len(text_of(line)) for line in lines] == [width] * height
            assert all(text_of(line).isprintable() for line in lines)


def test_before_anything_is_known_there_is_a_screen_too() -> None:
    model = Model(PLACE)
    assert "261122-lr" in shown(model, 80, 24)
    model.take(queue())
    model.answer(Ask("status.get", PLACE), {**status(0), "best": None, "recent": [], "chain": None})
    text = shown(model, 80, 24)
    assert "no best yet" in text
    assert "no value yet" in text
    assert "none yet" in text


def test_it_says_that_the_daemon_is_away_and_what_the_agent_does() -> None:
    model = night()
    model.take({"event": "queue", "runs": [], "total": 0})
    model.lost = "the daemon was stopped"
    model.status["warnings"] = ["r0005 is followed by no daemon"]
    text = shown(model, 80, 24)
    assert "not connected: the daemon was stopped" in text
    assert "agent: thinking for 6 min, since r0042: crash" in text
    assert "r0005 is followed by no daemon" in text
    model.status["session"].update(live=False, terminated_by="plateau")
    assert "session not live (plateau)" in shown(model, 80, 24)


def test_a_session_with_every_limit_shows_all_of_them_in_80_columns() -> None:
    model = night()
    limits = {"threshold": 0.5, "max_hours": 8, "max_gpu_hours": 16, "max_failures": 3}
    model.status["session"]["settings"].update(limits)
    text = shown(model, 80, 24)
    for limit in ("primary_threshold 0.5", "plateau 2/5", "max_runs 42/200", "hours 0/8", "failures 0/3"):
        assert f"{limit} " in text


def test_a_queue_that_is_paused_says_so_before_all_runs() -> None:
    model = night()
    model.take({**queue(), "closed": "the queue is paused: arctl queue resume"})
    runs = shown(model, 80, 24).partition("runs:")[2].splitlines()[1:3]
    assert runs[0] == " the queue is paused: arctl queue resume"
    assert runs[1].startswith(" r0043 ")
    model.take({"event": "queue", "runs": [], "total": 0, "closed": "the queue is paused"})
    assert "the queue is paused" in shown(model, 80, 24)


def test_the_selected_run_is_on_the_screen_however_far_down_the_queue() -> None:
    model = night()
    runs = [run(number, "queued", position=number - 43) for number in range(44, 104)]
    model.take({"event": "queue", "runs": [*queue()["runs"][:1], *runs], "total": 900})
    for selected in ("r0043", "r0070", "r0103"):
        model.selected = (*PLACE, selected)
        text = shown(model, 80, 24).partition("runs:")[2].partition("val/loss of")[0]
        assert f" {selected} " in text
        assert f"… and {900 - text.count(' r0')} more: arctl queue" in text


def test_a_run_of_another_experiment_is_compared_with_no_best_of_this_one() -> None:
    model = night()
    model.selected = (PLACE[0], "261120-base", "r0007")
    text = shown(model, 120, 40)
    assert "curve of 261120-base r0007 ──" in text
    assert "dotted" not in text
    model.runs[2].update(state="running", elapsed=3.0, latest=0.5)
    assert "value 0.5" in shown(model, 200, 40)


def test_the_selected_verdict_is_on_the_screen_however_old() -> None:
    model = night()
    model.move(-1)
    assert model.selected == (*PLACE, "r0001")
    lines = screen(model, 80, 24, NOW)
    marked = [text_of(line) for line in lines if any(style == "selected" for style, _ in line)]
    assert [line.split()[0] for line in marked] == ["r0001"]


def test_two_curves_can_be_told_apart_without_colours() -> None:
    """The best one's dots have gaps."""
    model = night()
    solid, both = shown(model, 120, 40), night()
    both.curves[(*PLACE, "r0043")] = both.curves[(*PLACE, "r0040")]
    assert solid != shown(both, 120, 40)
    assert "dotted: the best, r0040" in solid
    model.answer(Ask("run.curve", (*PLACE, "r0043")), curve(1, 1.0))
    assert shown(model, 120, 40) != solid


@pytest.mark.parametrize("values", [(1.7e308, -1.7e308), (5e-324, 1e-323), (0.0, 0.0)])
def test_values_as_far_apart_as_a_float_can_hold_are_drawn(values: tuple[float, ...]) -> None:
    """What a script prints does not end the view."""
    points = [(float(at), value) for at, value in enumerate(values * 10)]
    assert len(draw([Series("info", points)], 40, 6, True, "s")) == 6


def test_small_words_are_right() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112)] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th")
    ]
    assert [ago(s) for s in (-1, 59.9, 60, 3599, 7500)] == ["0 s", "59 s", "1 min", "59 min", "2 h 05 min"]
    assert [clock(s) for s in (-1, 125, 3600, 45296)] == ["0:00", "2:05", "1:00:00", "12:34:56"]
    assert spark([0.0, 0.5, 1.0, None, 9.0], 4) == "▅█ █"
    assert text_of(fitted((("", "宽宽宽"),), 4)) == "宽 …"


def test_the_audit_stands_below_the_limits_with_its_warning() -> None:
    model = night()
    row = {"run_id": "r0040", "value": 0.97, "trend": "worse"}
    about = {"command": "python audit.py", "waiting": ["r0041"], "at_work": "r0041"}
    model.audit = {**about, "rows": [row], "warning": "the primary metric went on\nwithout it"}
    lines = shown(model, 120, 40).splitlines()
    assert " audit 0.97 @ r0040 (worse) · to be audited: r0041; at work: r0041" in lines
    assert " the primary metric went on without it" in lines
    model.audit = {**about, "rows": [], "waiting": [], "at_work": None}
    assert " audit: none yet" in shown(model, 120, 40).splitlines()
    model.audit = {"command": None, "rows": [], "waiting": [], "at_work": None}
    assert "audit" not in shown(model, 120, 40)
