"""The signals that end a wait: which of them interrupts the run, and which only leaves it.

Ctrl+C is a person's word at a terminal. The same signal from a tool, which ends a command of its own, says
nothing about the run.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINAL = "/dev/tty"  # the controlling terminal of whoever opens it (tty(4))
# Said where the client leaves because of such a signal.
NOT_CTRL_C = "SIGINT that is no Ctrl+C at a terminal; arctl cancel would interrupt the run"


class Detached(BaseException):
    """A signal that says: leave, and let the run go on."""


@contextmanager
def leaving_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise Detached, unless they are ignored, as under nohup."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise Detached

    wanted = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is signal.SIG_DFL]
    for number in wanted:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in wanted:
            signal.signal(number, signal.SIG_DFL)


def is_ctrl_c() -> bool:
    """Tell whether a SIGINT that came was Ctrl+C: the terminal sends it to its foreground group alone.

    A process group outside our PID namespace has the number 0 (pid_namespaces(7)): which one that is cannot
    be told, so it counts as another.
    """
    try:
        terminal = os.open(TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # there is no controlling terminal: ENXIO
        return False
    try:
        return os.getpgrp() == os.tcgetpgrp(terminal) != 0
    except OSError:  # it was hung up meanwhile
        return False
    finally:
        os.close(terminal)
