"""`ardaemon` one of whose shims is stopped (SIGSTOP), and which waits for a shim for a moment only.

$HALT is the moment: `give`, right before the shim is given its attempt, or an operation of
host/operations.py, right before the shim does it. `hold` is as `give`, and waits as long as a daemon does.
$HALTED is a file that is made then; where it exists already, no shim is stopped. With $ACKNOWLEDGE_S the
daemon waits longer for the shim's answer: as long as the test has something to do. Run as
`python -m tests.support.halting serve …`.
"""

import os
import signal
from typing import Any

from ardaemon.cli import main
from ardaemon.engines.local import beginning, spare, starter
from ardaemon.host import proc
from tests.support.faulty_shim import hooked
from tests.support.lab import wait_until

ACKNOWLEDGE_S, BEGIN_S = 0.3, 0.5  # in the place of limits that leave time to a machine that swaps

HALTS = """
import os, signal
from ardaemon.host import operations
def halt(name, *_):
    if name == {name!r} and not os.path.exists({flag!r}):
        open({flag!r}, "x").close()
        os.kill(os.getpid(), signal.SIGSTOP)
operations.hook = halt
"""


def halt_at_give(flag: str) -> None:
    """Stop the first shim that is given an attempt, after the daemon has looked at it."""
    give = spare.Spare.give

    def halting(self: spare.Spare, *arguments: Any) -> None:
        if not os.path.exists(flag):
            os.kill(self.process.pid, signal.SIGSTOP)
            wait_until(lambda: proc.stopped(self.process.pid), "the spare shim to be stopped")
            open(flag, "x").close()
        give(self, *arguments)

    spare.Spare.give = halting  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    where, flag = os.environ["HALT"], os.environ["HALTED"]
    if where != "hold":
        starter.ACKNOWLEDGE_S = float(os.environ.get("ACKNOWLEDGE_S", ACKNOWLEDGE_S))
        beginning.BEGIN_S = BEGIN_S
    if where in ("give", "hold"):
        halt_at_give(flag)
    else:
        spare._PROGRAM = hooked(spare._PROGRAM, HALTS.format(name=where, flag=flag))
    main()
