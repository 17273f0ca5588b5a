"""End a command that follows something once nobody reads what it prints, as `head` that has had enough.

Who only prints hears of that at the next line, and the next one may be hours off.
"""

import os
import select
import sys
import threading

from arctl.base import EXIT_PIPE_CLOSED


def leave_with_reader() -> None:
    """End this process when the other end of the pipe on its standard output is closed."""
    try:
        output = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # it is closed, or no file
        return
    threading.Thread(target=_leave, args=(output,), daemon=True).start()


def _leave(output: int) -> None:
    poll = select.poll()
    poll.register(output, 0)  # POLLERR and POLLHUP alone, which poll(2) always reports; a file has neither
    poll.poll()
    os._exit(EXIT_PIPE_CLOSED)  # the main thread waits for the daemon, and has nothing to put in order
