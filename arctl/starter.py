"""Starts the daemon, by the user's systemd or as a detached process; imported only when none listens."""

import fcntl
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from arctl.dial import Busy, NotRunning, Stopped, dial, read_info, require_way
from arctl.lock_holder import holder, is_locked, unreachable
from arctl.pid_namespace import require_lasting
from ardaemon.core import isolated, places, words
from ardaemon.core.errors import DaemonUnavailable
from ardaemon.core.layout import Host
from ardaemon.core.locking import RUNTIME, STATE, require_locks
from ardaemon.core.private import private_folder
from ardaemon.core.text import one_line

START_DEADLINE_S = 15.0  # from the first try to the first answer, on a loaded machine
LOCK_DEADLINE_S = 90.0  # for another client, which stops a daemon and starts the next one
# A process that is not the daemon's parent gets no event when a daemon that has its lock begins to listen,
# nor when one that has answered for the last time ends. So these two are polled.
POLL_S = 0.02
ENDING_DEADLINE_S = 45.0  # for a daemon to end: `daemon stop` gives it 30 s
REMOVED_S = 2.0  # a daemon that could not start removes its socket, and then ends
UNREACHABLE_S = 12.0  # a daemon that ends in order takes 7 s at most to let go (ardaemon.daemon)
NOTICE_S = 1.0  # a wait that takes longer is mentioned on stderr
STDERR_MAX = 1 << 20  # bytes; a longer file is emptied
SHOWN_MAX = 1000  # characters of the daemon's last line that are shown
READY = 3  # the daemon's descriptor for its ready line
LINE_MAX = 4096  # bytes of the line on the ready descriptor


def start(again: bool = False) -> socket.socket:
    """Start a daemon, unless another client is doing so, and connect to it.

    `again` says that a daemon was there a moment ago. If it was stopped, and did not crash, Stopped is
    raised.
    """
    require_lasting()
    host = Host.of_environment()
    with start_lock(host):
        return start_locked(host, again)


def start_locked(host: Host, again: bool = False) -> socket.socket:
    """Start a daemon as start() does; the caller holds the start lock."""
    begun = time.monotonic()
    deadline = begun + START_DEADLINE_S
    latest = deadline + ENDING_DEADLINE_S
    while time.monotonic() < deadline:
        if again:
            _require_wanted(host)
        try:
            return dial()
        except Busy:
            time.sleep(POLL_S)
        except NotRunning:
            if is_locked(host.lock):
                _await_other(host)
                deadline = min(time.monotonic() + START_DEADLINE_S, latest)
            else:
                require_locks(private_folder(host.runtime), RUNTIME)
                _launch(host, deadline)
    raise DaemonUnavailable(
        f"no daemon accepted a connection within {time.monotonic() - begun:.0f} s", f"its log: {host.log}"
    )


def dial_running(check: bool = True) -> socket.socket:
    """Connect as dial() does, to a daemon that runs: systemd, at its socket, would start one."""
    if not is_locked(Host.of_environment().lock):
        require_way()
        if not _may_listen():
            raise NotRunning
    return dial(check)


def _may_listen() -> bool:
    """Tell whether a daemon may be there whose lock was removed, as with its state folder."""
    from arctl.service import manager  # slower to load

    return Host.of_environment().socket.exists() and not manager.listens()


def _require_wanted(host: Host) -> None:
    """Raise Stopped if the daemon that was there has ended in order, and nobody starts the next one.

    A daemon that ends in order removes daemon.json, and holds its lock a moment longer.
    """

    def settled() -> bool:
        return host.info.exists() or not is_locked(host.lock)

    _wait(settled, ENDING_DEADLINE_S, "for the daemon, which is ending or starting")
    if host.info.exists():
        return
    from arctl.service import launch, manager  # slower to load

    if not manager.is_coming():
        launch.require_no_failure()
        raise Stopped("the daemon was stopped", "running jobs go on; arctl daemon start")


def _await_other(host: Host) -> None:
    """Wait until a daemon that lives but does not listen ends, or answers: no other can start beside it."""

    begun = time.monotonic()

    def over() -> bool:
        _require_socket(host, time.monotonic() - begun)
        return not is_locked(host.lock) or _answers()

    if not _wait(over, ENDING_DEADLINE_S, "for the daemon, which is ending or starting"):
        raise unreachable(holder(host.lock), f"has not answered for {ENDING_DEADLINE_S:.0f} s: {host.log}")


def _wait(over: Callable[[], bool], seconds: float, what: str) -> bool:
    """Wait until over() is true, for at most `seconds`; return whether it is.

    If that takes a while, a line on stderr says what is waited for.
    """
    begun, mentioned = time.monotonic(), False
    while not over():
        waited = time.monotonic() - begun
        if waited > seconds:
            return False
        if waited > NOTICE_S and not mentioned:
            mentioned = True
            print(f"waiting {what} (at most {seconds:.0f} s)", file=sys.stderr)
        time.sleep(POLL_S)
    return True


def _answers() -> bool:
    try:
        dial().close()
    except (NotRunning, Busy):
        return False
    return True


def _launch(host: Host, deadline: float) -> None:
    """Start a daemon and wait until it reports how that went. Raises DaemonUnavailable."""
    from arctl.service import launch  # slower to load

    if not launch.start(deadline - time.monotonic()):
        _detach(host, deadline)


def _detach(host: Host, deadline: float) -> None:
    """Start a daemon as a process of its own, and wait until it reports how that went."""
    stderr = open_stderr(host)
    try:
        before = os.fstat(stderr).st_size
        line = _wait_for_line(_spawn(stderr), deadline)
    finally:
        os.close(stderr)
    if line == words.RUNNING:  # a daemon that somebody started by hand was faster
        return
    why = words.refused(line)
    if why is not None:
        raise DaemonUnavailable(f"the daemon cannot start: {one_line(why, SHOWN_MAX)}", _mend(why, host))
    if line != words.READY:
        raise DaemonUnavailable(
            f"the daemon ended before it was ready: {_last_line(host.stderr, before)}",
            f"its log: {host.log}",
        )


def _mend(why: str, host: Host) -> str:
    """Return what to do about it: where it is a setting, `config check` shows all that is wrong."""
    is_setting = places.config_file() in why or why.startswith("AR_")
    return "arctl config check" if is_setting else f"its log: {host.log}"


def _require_socket(host: Host, waited: float) -> None:
    """Raise DaemonUnavailable if a daemon lives that nobody can reach: no other can start beside it.

    One that starts has its socket before anything else; one that ends removes daemon.json, then its socket,
    and lets go of its lock within UNREACHABLE_S.
    """
    info = read_info()
    pid, path = info.get("pid"), str(info.get("socket"))
    gone = isinstance(pid, int) and os.path.exists(f"/proc/{pid}") and not os.path.exists(path)
    if gone and waited > REMOVED_S and read_info() == info:
        raise unreachable(pid, "its socket was removed")
    if not info and waited > UNREACHABLE_S and not host.socket.exists():
        raise unreachable(holder(host.lock), f"{host.info.name} and its socket were removed")


@contextmanager
def start_lock(host: Host) -> Iterator[None]:
    """Make the folder of the start lock, and hold that: one client at a time starts or stops a daemon."""
    require_locks(private_folder(host.state), STATE)
    lock = os.open(host.start_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        what = "for another arctl, which starts or stops the daemon"
        if not _wait(lambda: _try_lock(lock), LOCK_DEADLINE_S, what):
            raise DaemonUnavailable("another arctl has been starting the daemon for too long", "arctl doctor")
        yield
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_stderr(host: Host) -> int:
    """Open the file for the daemon's standard error, and empty it if it has grown too long."""
    file = os.open(host.stderr, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.fstat(file).st_size > STDERR_MAX:
        os.ftruncate(file, 0)
    return file


def _spawn(stderr: int) -> int:
    """Start the daemon detached, and return the descriptor on which it reports how its start went.

    After two forks the daemon is a child of init, so that it can never be a zombie of this client.
    """
    ready, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                _become_daemon(theirs, stderr)
        finally:
            os._exit(0)
    os.close(theirs)
    os.waitpid(child, 0)
    return ready


def _become_daemon(ready: int, stderr: int) -> NoReturn:
    """Replace this process by the daemon, which inherits only a part of the client's environment."""
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stderr, 1)
        os.dup2(stderr, 2)
        os.dup2(ready, READY)
        # An agent's tool reads until its pipe is closed, so the daemon must hold no copy of it.
        os.closerange(READY + 1, os.sysconf("SC_OPEN_MAX"))
        os.chdir("/")
        command = isolated.command("serve", "--ready-fd", str(READY))
        os.execve(command[0], command, isolated.environment(os.environ))
    finally:
        os._exit(127)


def _wait_for_line(ready: int, deadline: float) -> str:
    """Return the line that the daemon writes once it knows how its start went; "" if it ended without one."""
    data, begun = b"", time.monotonic()
    try:
        while b"\n" not in data and len(data) < LINE_MAX:
            if not select.select([ready], [], [], max(0.0, deadline - time.monotonic()))[0]:
                waited = time.monotonic() - begun
                raise DaemonUnavailable(
                    f"the daemon was not ready {waited:.0f} s after its start", "arctl daemon logs"
                )
            block = os.read(ready, LINE_MAX)
            if not block:
                break
            data += block
    finally:
        os.close(ready)
    return data.decode(errors="replace").partition("\n")[0].strip()


def _last_line(path: Path, before: int) -> str:
    """Return the last line that was added to a file since it had `before` bytes."""
    with path.open("rb") as file:
        file.seek(before)
        lines = file.read(STDERR_MAX).decode(errors="replace").strip().splitlines()
    return one_line(lines[-1], SHOWN_MAX) if lines else "it printed nothing"
