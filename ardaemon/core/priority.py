"""A run's priority in the queue. Nothing is imported but the errors: the client has this at its start."""

from ardaemon.core.errors import UsageError

PRIORITY_MOST = 100  # and as far below zero: enough for any order, and a slip of the finger is seen


def check_priority(priority: int | None) -> None:
    """Raise UsageError for one that is no priority."""
    if priority is not None and abs(priority) > PRIORITY_MOST:
        raise UsageError(
            f"--priority {priority}: it must be between -{PRIORITY_MOST} and {PRIORITY_MOST}", ""
        )
