"""Kill what is left of commands that were run on an attempt: of checks, and of its audit.

Their keeper was killed, or could not end them; or it was killed together with an earlier daemon.
"""

import signal
import time
from collections.abc import Mapping

from ardaemon.core.layout import COMMAND_MARK
from ardaemon.core.model import Process
from ardaemon.host import processes

VERIFY_POLL_S = 0.05


def killed(environment: Mapping[str, str], verify_s: float, tree: str = "") -> tuple[Process, ...]:
    """Kill what is left of commands with this environment, and return what survives that.

    `tree` is their cgroup, where it is known.
    """
    names = ("AR_RUN_DIR", "AR_ATTEMPT", COMMAND_MARK)
    tags = {name: environment[name] for name in names}
    deadline = time.monotonic() + verify_s
    while (left := _left(tags, tree)) and time.monotonic() < deadline:
        processes.kill(left, signal.SIGKILL)
        time.sleep(VERIFY_POLL_S)
    return tuple(left)


def _left(tags: dict[str, str], tree: str) -> list[Process]:
    return list({*processes.tagged(tags), *(processes.in_cgroup(tree) if tree else ())})
