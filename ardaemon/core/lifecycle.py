"""The life of a run as one table: state and event in, state out.

`running`, `exited` and `committed` are never written to run.json. The shim's lock, exit.json and result.json
make these states true, so the daemon reads them from there when it starts again.
"""

from typing import Literal

State = Literal["queued", "launching", "running", "exited", "judged", "committed"]
Event = Literal["launch", "started", "never_started", "ended", "cancelled", "retry", "judge", "commit"]

TRANSITIONS: dict[tuple[State, Event], State] = {
    ("queued", "launch"): "launching",
    ("queued", "cancelled"): "exited",
    ("launching", "started"): "running",
    ("launching", "never_started"): "queued",
    ("launching", "ended"): "exited",
    ("running", "ended"): "exited",
    ("exited", "retry"): "queued",
    ("exited", "judge"): "judged",
    ("judged", "commit"): "committed",
}


class IllegalEvent(Exception):
    """The table has no such event in that state. This is always a fault of the daemon, never of a user."""


def step(state: State, event: Event, run_id: str = "run") -> State:
    """Return the state after `event`. Raises IllegalEvent, which names run, state and event."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalEvent(f"{run_id}: no event {event!r} in state {state!r}") from None


def diagram() -> str:
    """Return the table as a Mermaid state diagram, for the docs."""
    lines = [f"    {state} --> {after}: {event}" for (state, event), after in TRANSITIONS.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> queued", *lines, "    committed --> [*]"])
