"""The line that is shown while somebody waits for a run, from views and events."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arctl.render.columns import cut_columns, width
from arctl.render.progress import WAITING_MAX, Standing, waiting

VIEW: dict[str, Any] = {
    "project": "/p",
    "expr": "261122-lr",
    "run_id": "r0043",
    "state": "queued",
    "position": 2,
    "why": "waits for 1 GPU, 0 of 1 free: GPU 0 261122-lr/r0042",
    "seconds": 600.0,
}
RUNNING = {**VIEW, "state": "running", "position": None, "why": None, "elapsed": 12.3}
STATUS = {
    "contract": {"primary": {"metric": "val/loss", "direction": "min"}},
    "best": {"value": 0.851, "run_id": "r0040"},
}
OURS = {"project": "/p", "expr": "261122-lr"}
PROGRESS = {**OURS, "event": "progress", "run_id": "r0043", "elapsed": 13.0, "latest": 0.844, "step": 120}


def standing(*events: dict[str, Any], any_run: bool = False) -> Standing:
    made = Standing(RUNNING, any_run)
    made.learn(STATUS)
    for event in events:
        made.take(event)
    return made


def text(made: Standing, columns: int = 200) -> str:
    return "".join(piece for piece, _ in made.line(columns))


def test_a_run_that_waits_says_its_place_and_why() -> None:
    assert waiting(VIEW) == f"[r0043] queued, 2nd: {VIEW['why']}"
    assert waiting({**VIEW, "position": None, "why": None}) == "[r0043] queued"


@pytest.mark.parametrize(
    ("position", "word"),
    [(1, "1st"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st"), (102, "102nd")],
)
def test_a_place_is_said_as_people_say_it(position: int, word: str) -> None:
    assert f"queued, {word}:" in waiting({**VIEW, "position": position})


@given(st.text(max_size=400), st.text(max_size=40))
def test_whatever_a_run_waits_for_it_is_one_clean_line_of_a_bounded_length(why: str, state: str) -> None:
    line = waiting({**VIEW, "why": why, "state": state})
    assert len(line.encode()) <= WAITING_MAX
    assert line.isprintable() or not line.isascii()
    assert "\n" not in line
    assert "\x1b" not in line


def test_a_run_at_work_shows_time_value_step_and_best() -> None:
    assert text(standing(PROGRESS)) == "[r0043] 13/600 s | val/loss=0.844 (step 120) | best 0.851 @ r0040"


def test_a_value_has_the_colour_of_what_it_would_be() -> None:
    colours = {latest: standing({**PROGRESS, "latest": latest}).line(200)[3][1] for latest in (0.8, 0.9)}
    assert colours == {0.8: "green", 0.9: "yellow"}


def test_another_runs_advance_is_the_best_from_then_on() -> None:
    advance = {**OURS, "event": "committed", "run_id": "r0042", "verdict": "advance", "value": 0.8}
    assert "best 0.8 @ r0042" in text(standing(advance))
    elsewhere = {**advance, "expr": "261122-other"}
    assert "best 0.851 @ r0040" in text(standing(elsewhere))


def test_the_copy_of_a_checkpoint_is_told() -> None:
    ended = {**OURS, "event": "ended", "run_id": "r0043", "ending": "exited", "seconds": 1.0}
    copied = {**OURS, "event": "promoting", "run_id": "r0043", "done": 1, "total": 4}
    assert text(standing(ended, copied)) == "[r0043] has ended, is being judged, checkpoint 25% copied"


def test_of_any_run_the_first_under_way_is_shown_and_how_many_others_there_are() -> None:
    other = {**VIEW, "run_id": "r0044"}
    queue = {"event": "queue", "runs": [{**other, "expr": "x"}, other, VIEW], "total": 3}
    assert text(standing(queue, any_run=True)).startswith("[r0044] queued, 2nd: ")
    assert text(standing(queue, any_run=True)).endswith(", 1 more under way")


def test_a_run_that_is_not_among_those_told_stays_as_it_was() -> None:
    queue = {"event": "queue", "runs": [{**VIEW, "run_id": "r0001"}], "total": 99}
    assert text(standing(queue)).startswith("[r0043] 12/600 s")


@given(st.text(max_size=120), st.integers(0, 90))
def test_a_line_never_takes_more_columns_than_there_are(metric: str, columns: int) -> None:
    made = standing(PROGRESS)
    made.metric = metric
    assert sum(width(piece) for piece, _ in made.line(columns)) <= columns


def test_wide_and_joined_characters_are_counted_as_terminals_do() -> None:
    assert width("漢字") == 4
    assert width("e\u0301") == 1
    assert cut_columns("漢字漢字", 5) == ("漢字…", 5)
    assert cut_columns("abc", 0) == ("", 0)
