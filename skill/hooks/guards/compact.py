"""Puts the loop's state and its rules back into the context after a compaction, in TEXT_MAX bytes."""

import os

from guards import experiment
from guards.event import Event, shown
from guards.experiment import Facts, State
from guards.transcript import MARK

TEXT_MAX = 2048  # bytes
NAME_MAX = 60  # characters of a name or a note
SKILL = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "skills/run/SKILL.md"
)


def main(event: Event) -> int:
    """Print the state; nothing where the session runs no experiment."""
    print(state_text(event), end="")
    return 0


def state_text(event: Event) -> str:
    """Return the state in lines; nothing where the session runs no experiment."""
    state = experiment.of_event(event)
    if state is None:
        return ""
    whole = "".join(f"{line}\n" for line in lines(state))
    return whole.encode("utf-8", "replace")[:TEXT_MAX].decode("utf-8", "ignore")


def lines(state: State) -> list[str]:
    """Return the state in lines."""
    return [
        MARK,
        f"expr: {state.slug}, session {_session(state)}",
        f"best: {_best(state.best)}",
        f"last: {_last(state.last)}",
        f"next: {_next(state)}",
        f"Edit {state.train} alone. Never ask, never stop in mid-loop. The rules: {SKILL}",
    ]


def _session(state: State) -> str:
    if state.live:
        return "live"
    return f"over: {shown(str(state.session.get('terminated_by')), NAME_MAX)}"


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else "none"


def _facts(value: object) -> Facts:
    return value if isinstance(value, dict) else {}


def _best(best: Facts) -> str:
    primary = _facts(best.get("primary"))
    if not best:
        return "none yet: the first run with a metric is the baseline"
    name, direction = (shown(str(primary.get(key)), NAME_MAX) for key in ("metric", "direction"))
    return f"{name} ({direction}) {_number(best.get('value'))} @ {shown(str(best.get('run_id')), NAME_MAX)}"


def _last(last: Facts) -> str:
    if not last:
        return "no run yet"
    run, verdict, note = (shown(str(last.get(key) or ""), NAME_MAX) for key in ("run_id", "verdict", "note"))
    value = _number(_facts(last.get("primary")).get("value"))
    return f"{run} {verdict} {value} note: {note!r}"


def _next(state: State) -> str:
    if state.unclean:
        return "leave: processes survived a kill; a person runs arctl clean"
    if not state.live:
        return shown(str(state.last.get("next") or "the session is over"))
    return state.command() if state.waiting else f"edit {state.train}, then: {state.command()}"
