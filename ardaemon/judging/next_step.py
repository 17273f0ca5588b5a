"""Say in a few words what a loop has to do after a run: `next` in result.json. Pure."""

from ardaemon.core.model import Chain, Settings, Termination

CONTINUE = "continue"
LEAVE = "leave: unclean, arctl clean"
# The settings whose value is shown behind the reason: plateau(5).
_VALUE = {"primary_threshold": "threshold"}


def next_step(
    why: Termination | None,
    settings: Settings,
    chain: Chain | None,
    has_best: bool,
    went_back: bool = False,
) -> str:
    """Return `continue`, or why the session is over and where the loop goes from here.

    `chain` is that of which this experiment is the current link. `has_best`: without a best no experiment can
    follow. `went_back`: the chain is a copy from before, and a person has to decide what counts.
    """
    if why is None:
        return CONTINUE
    if why == "unclean":
        return LEAVE
    reason = told(why, settings)
    if went_back and why != "manual":
        return f"stop: {reason}, the chain went back: arctl chain"
    if why == "manual" or chain is None:
        return f"stop: {reason}"
    if chain.left == 0:
        return f"stop: {reason}, chain_budget used up"
    if not has_best:
        return f"stop: {reason}, no best to chain from"
    return f"chain: {'unlimited' if chain.left is None else f'{chain.left} left'}, {reason}"


def told(why: Termination, settings: Settings) -> str:
    """Return the reason with the setting's value, where it has one: `plateau(5)`."""
    value = getattr(settings, _VALUE.get(why, why), None)
    return why if value is None else f"{why}({value:g})"
