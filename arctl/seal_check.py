"""What the answer of experiment.seal says of the seal, for `arctl seal` and for `arctl doctor`."""

from arctl.check import Check
from arctl.dial import Answer
from ardaemon.core.words import OF_A_SESSION, SEAL_HOLDS, UNREADABLE

ACCEPT = "put back what changed; if the change is meant: arctl seal --accept"
PUT_BACK = "put that file back, or make it readable: arctl seal --accept cannot seal it as it is"


def faults(answer: Answer) -> list[str]:
    """Return what the seal has found, one line each; nothing where it holds."""
    lines = [str(line) for line in answer.get("said") or ()]
    return [] if lines == [SEAL_HOLDS] else lines


def seal_check(answer: Answer) -> Check:
    """Say whether the seal holds, and what helps where it does not."""
    found = faults(answer)
    return Check("FAIL" if found else "ok", "seal", "; ".join(found) or SEAL_HOLDS, _mend(found))


def _mend(found: list[str]) -> str:
    if any(UNREADABLE in fault for fault in found):
        return PUT_BACK
    # A line about the session's own files names the command that helps.
    return "" if all(OF_A_SESSION in fault for fault in found) else ACCEPT
