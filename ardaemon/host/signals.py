"""Signals as plain numbers, for the modules that the shim imports as well.

signal.py makes enums of them, and the modules that it imports for that would be a fifth of a shim's start. It
has the same functions from _signal, the interpreter's own part of it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

SIGCHLD = int(signal.SIGCHLD)
SIGCONT = int(signal.SIGCONT)
SIGHUP = int(signal.SIGHUP)
SIGINT = int(signal.SIGINT)
SIGKILL = int(signal.SIGKILL)
SIGPIPE = int(signal.SIGPIPE)
SIGTERM = int(signal.SIGTERM)
SIGVTALRM = int(signal.SIGVTALRM)
SIG_IGN = int(signal.SIG_IGN)
ITIMER_VIRTUAL = int(signal.ITIMER_VIRTUAL)

handle = signal.signal
set_wakeup_fd = signal.set_wakeup_fd
setitimer = signal.setitimer


def name(number: int) -> str:
    """Return a signal's name, as "SIGTERM"; "SIG34" for one that has none."""
    import signal as named  # here, because few jobs end by a signal

    try:
        return named.Signals(number).name
    except ValueError:
        return f"SIG{number}"
