"""Tells whether a person calls, for what no agent is to see: the hidden audit (docs/audit.md)."""

import os

from arctl.base import noninteractive
from arctl.sandbox import AGENTS
from ardaemon.core.errors import Refused


def is_person() -> bool:
    """Tell whether nothing says that an agent calls: no AR_NONINTERACTIVE, and no agent's own variable."""
    return _sign() is None


def require_person(what: str, options: str = "") -> None:
    """Raise Refused where an agent calls; `what` was given, and with `options` a person can copy it."""
    sign = _sign()
    if sign is not None:
        raise Refused(
            f"{what} is for a person, and {sign} says that an agent calls: no agent is shown the audit",
            f"go on without it; a person calls, in a shell of their own: {what}{options}",
        )


def _sign() -> str | None:
    """Return the variable that says so; None if there is none."""
    if noninteractive():
        return "AR_NONINTERACTIVE"
    marks = (mark for agent in AGENTS for mark in agent.marks)
    return next((mark for mark in marks if os.environ.get(mark, "0") not in ("", "0")), None)
