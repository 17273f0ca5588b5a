"""The entries of committed runs, each until the launch on an idle place that follows has its own.

A launch on an idle place gets the environment of the run before it, and on disk an environment lies in the
entry of its run alone. If a run's entry went with its commit, a daemon that is killed before the next launch
is laid out would leave no environment to go on with.
"""

import logging
import time
from pathlib import Path

from ardaemon.core.errors import StorageError
from ardaemon.pipeline import apply

# For the next launch to be laid out: milliseconds; a GPU is free again once it was looked at.
HAND_OVER_S = 10.0

log = logging.getLogger("ardaemon.run")


class HandingOver:
    """Keep the entries of an experiment's committed runs as long as another launch may follow at once."""

    def __init__(self) -> None:
        self._entries: dict[Path, float] = {}  # and until when each stays at most, by CLOCK_MONOTONIC

    def add(self, entry: Path) -> None:
        """Keep the entry of a run that was committed just now."""
        self._entries[entry] = time.monotonic() + HAND_OVER_S

    def settle(self, follows: bool) -> float | None:
        """Remove the entries, unless a launch `follows` without its own; return when to settle again (s)."""
        now = time.monotonic()
        for entry, until in list(self._entries.items()):
            if not follows or now >= until:
                self._remove(entry)
        return min((until - now for until in self._entries.values()), default=None)

    def _remove(self, entry: Path) -> None:
        """Remove an entry; one that the disk refuses to remove now is removed by the next daemon."""
        del self._entries[entry]
        try:
            apply.finish(entry)
        except StorageError as error:
            log.warning("entry not removed", extra={"facts": {"entry": entry.name, "why": error.message}})
