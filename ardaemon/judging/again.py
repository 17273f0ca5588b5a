"""Decide whether an attempt is judged, or its run is launched again. Pure."""

from msgspec import Struct

from ardaemon.core.model import Again, Best, Exit, Settings
from ardaemon.core.reason import OOM, Reason


class AttemptFacts(Struct, frozen=True, kw_only=True):
    """One attempt that is over: all that the decision on another depends on."""

    exit: Exit
    reason: Reason | None = None
    tainted: str | None = None
    sick: bool = False  # a GPU of the run fell ill
    shared: bool = False  # other runs could be on its GPUs
    before: tuple[Again, ...] = ()  # why earlier attempts of the run did not count
    value: float | None = None  # of the primary metric, as it was judged
    best: Best | None = None  # against which


def wanted(facts: AttemptFacts, settings: Settings) -> Again | None:
    """Return why the run needs another attempt; None if the attempt is to be judged.

    A value that was measured under unfair conditions says nothing about the idea, nor does a crash on a sick
    GPU. A run that ran out of memory on a shared card may fit when it has the card to itself. Each of the two
    reasons counts once, so that no run is launched for ever.
    """
    if facts.exit.survivors:
        return None
    ended_well = facts.exit.ending == "exited" and facts.exit.exit_code == 0
    unfair = facts.sick or (ended_well and facts.tainted is not None)
    if unfair and settings.on_tainted == "rerun" and "tainted" not in facts.before:
        return "tainted"
    ran_out = not ended_well and facts.reason is not None and facts.reason.token == OOM
    return "oom" if ran_out and facts.shared and "oom" not in facts.before else None
