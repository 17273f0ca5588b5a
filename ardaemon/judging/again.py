"""Is this attempt to be judged, or made again? The decision is pure; applying it, one durable write."""

from msgspec import Struct

from ardaemon.core.model import Again, Exit, Settings
from ardaemon.core.reason import OOM, Reason


class Facts(Struct, frozen=True, kw_only=True):
    """All that the decision depends on."""

    exit: Exit
    reason: Reason | None = None
    tainted: str | None = None
    sick: bool = False  # its GPU fell ill
    shared: bool = False  # others could be on its GPUs
    before: tuple[Again, ...] = ()


def wanted(facts: Facts, settings: Settings) -> Again | None:
    """Why another attempt is due; each reason counts once.

    A number that was not measured under fair conditions says nothing, nor does a crash on a sick GPU; and
    who runs out of memory on a card that others used as well may fit when it has it alone.
    """
    if facts.exit.survivors:
        return None
    ended_well = facts.exit.ending == "exited" and facts.exit.exit_code == 0
    unfair = facts.sick or (ended_well and facts.tainted is not None)
    if unfair and settings.on_tainted == "rerun" and "tainted" not in facts.before:
        return "tainted"
    ran_out = not ended_well and facts.reason is not None and facts.reason.token == OOM
    return "oom" if ran_out and facts.shared and "oom" not in facts.before else None
