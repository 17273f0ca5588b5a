"""A real terminal, in whose foreground a command runs, and Ctrl+C typed at it."""

import fcntl
import os
import pty
import termios

CTRL_C = b"\x03"


class Terminal:
    """A terminal that becomes the controlling one of a process, without being its stdin, stdout or stderr."""

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()

    def take(self) -> None:
        """Become the leader of a session at this terminal, in its foreground; for `preexec_fn` of Popen."""
        os.setsid()
        fcntl.ioctl(self._theirs, termios.TIOCSCTTY, 0)

    def ctrl_c(self) -> None:
        """Type Ctrl+C: the kernel sends SIGINT to whoever is in the foreground."""
        os.write(self._ours, CTRL_C)

    def close(self) -> None:
        """Close it; the kernel hangs up on who still runs at it."""
        os.close(self._ours)
        os.close(self._theirs)
