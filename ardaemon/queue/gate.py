"""The gate of the queue: whether runs may start, by a person's order on disk and the hours of config.toml."""

import logging
import stat
import time
from pathlib import Path

import anyio
import anyio.to_thread

from ardaemon.core import gate
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.gate import BY_COMMAND, Closed, Order
from ardaemon.core.hours import Hours
from ardaemon.host import state

LOOK_S = 60.0  # the longest sleep while it is closed: the clock on the wall may be set meanwhile

log = logging.getLogger("ardaemon.daemon")


class Gate:
    """Whether runs may start. An order holds over restarts of daemon and machine."""

    def __init__(self, file: Path, hours: Hours | None) -> None:
        """Read the order in `file`; one that cannot be read keeps the queue closed, as what it may say."""
        self.file, self.hours = file, hours
        self.order: Order | None = None
        self.broken: str | None = None
        self._writing = anyio.Lock()  # of two orders at once the same one holds here and in the file
        try:
            self.order = state.read(file, Order)
        except ArdaemonError as error:
            self.broken = f"{error.message}: the queue is paused: {BY_COMMAND}"
            log.warning("unreadable", extra={"facts": {"why": str(error)}})

    def closed(self) -> Closed | None:
        """Return why no run may start now; None if runs may."""
        if self.broken is not None:
            return Closed(self.broken)
        return gate.closed(self.order, self.hours, time.time())

    def sleep_s(self) -> float | None:
        """Return after how many seconds it is to be looked at again; None: it is open."""
        shut = self.closed()
        if shut is None:
            return None
        return LOOK_S if shut.until is None else min(max(shut.until - time.time(), 0.0), LOOK_S)

    def look_s(self) -> float | None:
        """Return after how many seconds a view is to look again: hours may close what is open, too."""
        opens = self.sleep_s()
        return LOOK_S if opens is None and self.hours is not None else opens

    def opened_until(self) -> float | None:
        """Return by when a person has opened it, whatever the hours say; None: nobody has."""
        order = self.order if self.broken is None else None
        if order is None or order.state != "open" or order.until is None:
            return None
        return order.until if order.until > time.time() else None

    async def set(self, new: Order) -> Order:
        """Write what holds from now on, and return it: the new order, or an older one that closes for longer.

        Raises StorageError, and nothing has changed.
        """
        async with self._writing:
            order = gate.joined(self._held(), new, time.time())
            await anyio.to_thread.run_sync(self._write, order)
            self.order, self.broken = order, None
        log.info("queue", extra={"facts": {"state": order.state, "until": order.until}})
        return order

    def _write(self, order: Order) -> None:
        """Write the order; a folder in the file's place, which nothing can replace, is moved away."""
        if stat.S_ISDIR(_mode(self.file)):
            aside = state.put_aside(self.file)
            log.warning("put aside", extra={"facts": {"path": str(self.file), "aside": str(aside)}})
        state.write(self.file, order, 0o600)

    def _held(self) -> Order | None:
        """Return the order that holds; what cannot be read may say that the queue is closed without end."""
        return self.order if self.broken is None else Order(state="paused")


def _mode(file: Path) -> int:
    """Return what stands at a path, as lstat(2) says it; 0: nothing."""
    try:
        return file.lstat().st_mode
    except OSError:
        return 0
