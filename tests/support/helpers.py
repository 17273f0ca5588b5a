"""A forged daemon's helpers, its shims and the process that reads train.py: forked as it was itself.

A daemon starts an interpreter for each, which takes 35 ms of CPU time where a fork takes 5; there is one shim
an attempt, and one that waits. What runs is the very program that the command line holds. Their parent is the
forge: nothing asks for it.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support import forge, forge_popen

# How the daemon starts them (engines/local/spare.py, host/worker.py), and what their programs import.
ISOLATED = ("-I", "-S", "-c")
MODULES = ("ardaemon.shim.supervisor", "ardaemon.source.worker", "tests.support.faulty")


def come_from(place: forge.Orders) -> None:
    """From here on this process has its helpers from there; whatever else it starts is started as ever."""
    Helper.place = place
    subprocess.Popen = Helper  # type: ignore[misc]


def is_helper(command: Any) -> bool:
    """Tell whether a command is one."""
    if isinstance(command, str) or (*command[1:4],) != ISOLATED:
        return False
    return any(f"from {module} import" in command[4] for module in MODULES)


class Helper(forge_popen.Popen):
    """Popen in a forged daemon."""

    place: forge.Orders

    def order(
        self, args: Sequence[str], folder: str, environment: Mapping[str, str], leads: bool
    ) -> forge_popen.Way | None:
        """Return the order of a helper."""
        if not is_helper(args):
            return None
        arguments = [*args[1:]]
        return self.place, forge.Order(
            forge.HELPER, arguments, dict(environment), folder, leads, starter=os.getpid()
        )
