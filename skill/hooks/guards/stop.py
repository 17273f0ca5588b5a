"""The stop guard: while a session is live, or its chain goes on, so does the loop; what is next is named."""

import json

from guards import experiment
from guards.event import Event
from guards.experiment import State

LEAVE = "leave:"  # how the agent begins a line that says why it cannot go on
CHAIN = (
    "The session of {slug} is over, and another experiment of its chain may follow: the loop goes on."
    " Next: arctl report, then: arctl chain-init (arctl chain-init --help has its options)\n"
    "If chain-init was refused twice, say why in a line that begins with {leave}"
    " A person ends the chain with: arctl chain stop"
)


def main(event: Event) -> int:
    """Print that the agent goes on, or nothing: then it may stop."""
    state = experiment.of_event(event)
    why = None if state is None or _leaves(event.get("last_assistant_message")) else reason(state)
    if why is not None:
        print(json.dumps({"decision": "block", "reason": why}))
    return 0


def _leaves(message: object) -> bool:
    lines = message.splitlines() if isinstance(message, str) else []
    return any(line.strip("*_`> ").lower().startswith(LEAVE) for line in lines)


def reason(state: State) -> str | None:
    """Return why the loop goes on, and the next command; None if the agent may stop."""
    if state.unclean:
        return None
    if not state.live:
        return CHAIN.format(slug=state.slug, leave=LEAVE) if _chains(state) else None
    if _over(state):
        return None
    first = "" if state.waiting else f"edit {state.train}, then: "
    return (
        f"The session of {state.slug} is live: the loop goes on. Next: {first}{state.command()}\n"
        f"If you cannot go on (as with a full disk), say why in a line that begins with {LEAVE}"
        " A person ends the session with: arctl session stop"
    )


def _chains(state: State) -> bool:
    """Return whether the session ended by its limits, with experiments of its chain left."""
    by_limit = state.session.get("terminated_by") not in ("manual", "chained", "unclean", None)
    return by_limit and state.chain_left and str(state.last.get("next")).startswith("chain")


def _over(state: State) -> bool:
    """Return whether the last result of this session says that the loop is over."""
    last, started = state.last, state.session.get("started_at")
    if str(last.get("ended_at") or "") <= str(started or ""):
        return False  # of an earlier session
    return last.get("should_terminate") is True or str(last.get("next")).startswith(("leave", "stop"))
