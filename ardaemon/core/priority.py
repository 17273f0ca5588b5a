"""The priority of a run in the queue. Only core/errors.py is imported: the client loads this at its start."""

from ardaemon.core.errors import UsageError

PRIORITY_MOST = 100  # and -100 the least: enough for any order, and a mistyped number is noticed


def check_priority(priority: int | None) -> None:
    """Raise UsageError if the given priority is outside -PRIORITY_MOST to PRIORITY_MOST."""
    if priority is not None and abs(priority) > PRIORITY_MOST:
        raise UsageError(
            f"--priority {priority}: it must be between -{PRIORITY_MOST} and {PRIORITY_MOST}", ""
        )
