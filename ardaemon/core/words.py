"""Words that daemon and arctl share: what the daemon says in plain text, and the names of options."""

from collections.abc import Mapping
from typing import Any

# In the place of an experiment's name: the one that is meant where nobody can be asked (AR_NONINTERACTIVE=1).
# The chain's current one comes before a live one then.
CHAIN_FIRST = "@chain"
CHAIN_FIRST_SINCE = 2  # version of the protocol

SEAL_HOLDS = "the seal holds"  # experiment.seal, where nothing has changed
UNREADABLE = "cannot be read: "  # its line about a file that cannot be accepted as it is
OF_A_SESSION = "; for a session with it: "  # and about a file that a new session seals

# The notification that brings a line for a person before the answer: what the daemon waits for meanwhile.
TOLD = "told"

# In the place of a verdict, and counted apart from all verdicts: a rerun of the best that ended well.
MEASURE = "measure"

# The one line that a starting daemon writes to whoever started it: one of these, or a `refusal`.
READY = "ready"  # it listens
RUNNING = "running"  # another daemon of this user does
_REFUSAL = "error:"

# The runner of a session of an earlier version that names none.
RUNNER_UNNAMED = "python train.py"

# What `arctl init` must be told where nobody can be asked.
CREATE = "arctl init SLUG --train PATH --primary-metric NAME --primary-direction min|max --goal TEXT"

# How a file of before comes back.
BY_GIT = "a backup, or a checkout, reset or stash of git's?"

_OPTIONS = {"constraints": "--constraint", "checks": "--check"}


def told_verdict(verdict: str, measure: bool) -> str:
    """Return the word for a verdict; `measure`: the run was a rerun of the best, which decides nothing."""
    return MEASURE if measure and verdict == "revert" else verdict


def option(name: str) -> str:
    """Return the option of arctl that gives a setting."""
    return _OPTIONS.get(name) or "--" + name.replace("_", "-")


def runner_of(session: Mapping[str, Any]) -> str:
    """Return the runner of a session as the wire has it; "" if none was ever started."""
    settings = session.get("settings")
    return "" if settings is None else str(settings.get("runner") or RUNNER_UNNAMED)


def refusal(why: str) -> str:
    """Make the line of a daemon that cannot start."""
    return f"{_REFUSAL} {why}"


def refused(line: str) -> str | None:
    """Read why a daemon cannot start; None where the line is no refusal."""
    return line.removeprefix(_REFUSAL).strip() if line.startswith(_REFUSAL) else None
