"""The table of a run's states: what it allows, what it refuses, and its picture in the docs."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardaemon.core.lifecycle import TRANSITIONS, Event, IllegalEvent, State, diagram, step

DOCUMENT = Path(__file__).parents[2] / "docs" / "lifecycle.md"
STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)


def reachable(start: State) -> set[State]:
    found, ahead = {start}, [start]
    while ahead:
        here = ahead.pop()
        new = {after for (state, _), after in TRANSITIONS.items() if state == here} - found
        found |= new
        ahead += new
    return found


def test_a_plain_run_goes_through_all_states_in_order() -> None:
    state: State = "queued"
    passed = [state]
    events: tuple[Event, ...] = ("launch", "started", "ended", "judge", "commit")
    for event in events:
        state = step(state, event)
        passed.append(state)
    assert tuple(passed) == STATES


def test_every_state_is_reached_from_the_queue() -> None:
    assert reachable("queued") == set(STATES)


def test_every_state_leads_to_a_commit_and_nothing_leads_out_of_it() -> None:
    for state in STATES:
        assert "committed" in reachable(state)
    assert reachable("committed") == {"committed"}


def test_every_event_has_a_place_in_the_table() -> None:
    assert {event for _, event in TRANSITIONS} == set(EVENTS)


def test_a_judged_run_can_only_be_committed() -> None:
    """Judged never twice: no way leads from a decision back to the queue."""
    assert {event: after for (state, event), after in TRANSITIONS.items() if state == "judged"} == {
        "commit": "committed"
    }


@given(state=st.sampled_from(STATES), event=st.sampled_from(EVENTS))
def test_an_event_that_the_table_does_not_know_raises_and_names_run_state_and_event(
    state: State, event: Event
) -> None:
    if (state, event) in TRANSITIONS:
        assert step(state, event, "r0042") == TRANSITIONS[state, event]
        return
    with pytest.raises(IllegalEvent) as caught:
        step(state, event, "r0042")
    for name in ("r0042", state, event):
        assert name in str(caught.value)


def test_the_diagram_in_the_docs_is_the_tables() -> None:
    assert f"```mermaid\n{diagram()}\n```" in DOCUMENT.read_text(encoding="utf-8")


def test_the_docs_say_of_every_state_and_only_of_them_what_it_is_on_disk() -> None:
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert tuple(row.split("`")[1] for row in rows) == STATES
