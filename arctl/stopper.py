"""Stop the daemon that runs, and wait until it is gone. Its jobs go on."""

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arctl.connection import Connection, ConnectionLost, Hung
from arctl.dial import OUTSIDE, Busy, NotRunning, peer, read_info
from arctl.lock_holder import holder, is_locked
from arctl.starter import dial_running
from ardaemon.core.errors import DaemonUnavailable, Incompatible
from ardaemon.core.layout import Host

STOP_DEADLINE_S = 30.0  # the daemon has only to close its files: jobs go on under their shims
LOOK_S = 0.25  # the release of its lock is no event
GONE_S = 2.0  # from that to the end of its process, if nothing holds it up


def require_near() -> None:
    """Raise DaemonUnavailable where no daemon can be stopped from: in a sandbox.

    That is asked before a lock is taken, for the folder of the locks may be read-only there.
    """
    try:
        sock = dial_running(check=False)
    except (NotRunning, Busy):
        return
    with sock:
        if peer(sock)[0] == OUTSIDE:
            raise DaemonUnavailable(
                "the daemon is outside this PID namespace, where its end cannot be seen",
                "arctl daemon stop (or restart; in a terminal outside the sandbox)",
            )


def stop_running(host: Host) -> int | None:
    """Stop the daemon, wait until it is gone, and return its pid; None if there was none."""
    lock = host.lock if is_locked(host.lock) else None  # removed: then its process alone tells
    try:
        sock = dial_running(check=False)
    except NotRunning:
        return _stop_unreachable(host)
    except Busy:
        raise too_busy() from None
    with sock:
        pid = _daemon_of(sock)
        with _process(pid) as process:
            _ask_to_stop(sock, pid, process)
            _await_end(pid, process, lock)
    return pid


def _stop_unreachable(host: Host) -> int | None:
    """Stop a daemon that cannot be asked, for its socket is gone; every daemon knows SIGTERM."""
    pid = holder(host.lock)
    if pid is None:
        return None
    lock = host.lock if host.lock.exists() else None  # removed: then its process alone tells
    with _process(pid) as process:
        if holder(host.lock) != pid:  # it ended before its pidfd was open
            return None
        signal.pidfd_send_signal(process, signal.SIGTERM)
        _await_end(pid, process, lock)
    return pid


@contextmanager
def _process(pid: int) -> Iterator[int]:
    process = os.pidfd_open(pid)
    try:
        yield process
    finally:
        os.close(process)


def _await_end(pid: int, process: int, lock: Path | None) -> None:
    if not _is_gone(process, lock):
        raise _unstoppable(pid, f"the daemon (pid {pid}) did not stop within {STOP_DEADLINE_S:.0f} s")


def _daemon_of(sock: socket.socket) -> int:
    """Return the pid of the daemon that listens, as the kernel says it.

    Who connects to systemd's socket before the daemon has taken it over gets systemd's pid instead. Then the
    daemon is asked.
    """
    pid = peer(sock)[0]
    if pid == read_info().get("pid"):
        return pid
    return int(Connection(sock).call("daemon.info")["pid"])


def _is_gone(process: int, lock: Path | None) -> bool:
    """Wait for the daemon's end, and return whether it came in time.

    A thread that hangs on a dead disk keeps its process. Such a daemon has ended when it lets go of its lock.
    """
    end = time.monotonic() + STOP_DEADLINE_S
    while not select.select([process], [], [], LOOK_S)[0]:
        if lock is not None and not is_locked(lock):
            select.select([process], [], [], GONE_S)
            return True
        if time.monotonic() > end:
            return False
    return True


def _ask_to_stop(sock: socket.socket, pid: int, process: int) -> None:
    try:
        Connection(sock).call("daemon.stop")
    except ConnectionLost:
        pass  # it is ending already
    except Hung as error:
        raise _unstoppable(pid, error.message) from error
    except Incompatible:
        # It speaks another protocol, but every daemon knows SIGTERM. The pid must be the daemon's own.
        if read_info().get("pid") != pid:
            raise
        signal.pidfd_send_signal(process, signal.SIGTERM)


def _unstoppable(pid: int, what: str) -> DaemonUnavailable:
    """A daemon that hangs: a signal that it could handle would wait for it, too."""
    return DaemonUnavailable(what, f"kill -9 {pid} (running jobs go on); then: arctl daemon start")


def too_busy() -> DaemonUnavailable:
    return DaemonUnavailable(
        "the daemon accepts no connection at this moment", "try again; then: arctl doctor"
    )
