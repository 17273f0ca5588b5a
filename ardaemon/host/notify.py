"""Tell the service manager how the daemon is (sd_notify(3)); where there is none, nothing is told.

Each message is one datagram to the socket that systemd names in NOTIFY_SOCKET. The variables are taken out of
the environment, so that no job speaks for the daemon.
"""

import os
import socket
from collections.abc import MutableMapping

from ardaemon.core.text import one_line

ADDRESS, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
VARIABLES = (ADDRESS, WATCHDOG, WATCHDOG_PID)
STATUS_MAX = 300  # characters of a status: `systemctl status` shows it on one line
SEND_S = 2.0  # for a busy manager to take a message that it must not miss: the start waits for that one


class Manager:
    """The service manager that started this process; one without an address hears nothing."""

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        """Speak to the socket at `address`, which wants a sign of life every `watchdog_s` seconds."""
        self.address, self.watchdog_s = address, watchdog_s
        self._status = ""

    @classmethod
    def of_environment(cls, environment: MutableMapping[str, str]) -> "Manager":
        """Take the manager's variables out of `environment`."""
        address, micros, pid = (environment.pop(name, "") for name in VARIABLES)
        watches_us = pid in ("", str(os.getpid())) and micros.isdigit() and int(micros) > 0
        return cls(address, int(micros) / 1e6 if watches_us else None)

    def ready(self) -> None:
        """Say that the daemon serves; whoever started the unit waits for this."""
        self._send("READY=1", SEND_S)

    def stopping(self) -> None:
        """Say that the daemon is about to end, in order."""
        self._send("STOPPING=1", SEND_S)

    def alive(self) -> None:
        """Give the sign of life. A manager that cannot take it now gets the next one."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1", 0.0)

    def status(self, text: str) -> None:
        """Show `text` in `systemctl status`, if it is another one than before."""
        text = one_line(text, STATUS_MAX)
        if text != self._status and self._send(f"STATUS={text}", 0.0):
            self._status = text

    def _send(self, message: str, seconds: float) -> bool:
        """Send one message, for at most `seconds`; return whether it went out."""
        if not self.address:
            return False
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(seconds)
                sock.connect(address)
                sock.send(message.encode())
        except OSError:  # a manager that is gone, or behind; the daemon serves all the same
            return False
        return True
