"""`arctl daemon start | stop | restart | status | logs`."""

import json
import os
import select
import signal
import socket
import time
from pathlib import Path

import click

from arctl.base import json_option, say, say_json, warn
from arctl.client import connect
from arctl.connection import Connection, ConnectionLost, Hung
from arctl.dial import OUTSIDE, Answer, Busy, NotRunning, dial, peer, read_info
from arctl.pid_namespace import require_lasting
from arctl.starter import is_locked, start_lock, start_locked
from ardaemon.core.errors import DaemonUnavailable, Incompatible
from ardaemon.core.layout import Host
from ardaemon.core.private import private_folder
from ardaemon.core.text import one_line

STOP_DEADLINE_S = 30.0  # the daemon has only to close its files: jobs go on under their shims
LOOK_S = 0.25  # the release of its lock is no event
GONE_S = 2.0  # from that to the end of its process, if nothing holds it up
LINES = 40
LINES_MAX = 1000
LINE_BYTES_MAX = 4096  # bytes of the log's end that are read for each line that is wanted
LINE_SHOWN_MAX = 400
HEAD = ("time", "level", "event")  # the first fields of a shown line; `logger` is of no use to a user


@click.group()
def daemon() -> None:
    """Start, stop or inspect the daemon. Running jobs go on without it."""


@daemon.command()
@json_option
def start(as_json: bool) -> None:
    """Start the daemon, if it is not running. Most commands do so by themselves."""
    _say_info(connect(), as_json)


@daemon.command()
@json_option
def stop(as_json: bool) -> None:
    """Stop the daemon. Running jobs go on, and the next daemon takes them up."""
    _require_near()
    host = Host.of_environment()
    private_folder(host.state)
    with start_lock(host):
        pid = _stop(host)
    if as_json:
        say_json({"stopped": pid is not None, "pid": pid})
    else:
        say("the daemon was not running" if pid is None else f"the daemon (pid {pid}) is stopped")


@daemon.command()
@json_option
def restart(as_json: bool) -> None:
    """Stop the daemon and start the installed version. A command that waits for a run goes on waiting."""
    _require_near()
    require_lasting()  # before the daemon that runs is stopped
    host = Host.of_environment()
    private_folder(host.state)
    with start_lock(host):
        _stop(host)
        sock = start_locked(host)
    _say_info(sock, as_json)


@daemon.command()
@json_option
def status(as_json: bool) -> None:
    """Show pid, version, socket and uptime. This command starts no daemon."""
    try:
        sock = dial()
    except NotRunning:
        raise DaemonUnavailable("the daemon is not running", "arctl daemon start") from None
    except Busy:
        raise _too_busy() from None
    _say_info(sock, as_json)


@daemon.command()
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(1, LINES_MAX),
    default=LINES,
    show_default=True,
    help="How many lines.",
)
@json_option
def logs(lines: int, as_json: bool) -> None:
    """Show the end of the daemon's log, whether it is running or not."""
    path = Host.of_environment().log
    events = [_event(line) for line in _last_lines(path, lines)]
    if as_json:
        say_json({"log": str(path), "events": events})
        return
    for event in events:
        say(_log_line(event))


def _say_info(sock: socket.socket, as_json: bool) -> None:
    try:
        info = Connection(sock).call("daemon.info")
    except ConnectionLost:
        raise DaemonUnavailable("the daemon went away", "arctl daemon logs") from None
    warn(info)
    if as_json:
        say_json(info)
        return
    say(f"running: pid {info['pid']}, version {info['version']}, up {info['uptime_s']:.0f} s")
    say(f"runs not committed: {info['active']}")
    say(f"socket: {info['socket']}")
    say(f"log: {info['log']}")


def _require_near() -> None:
    """Raise DaemonUnavailable where no daemon can be stopped from: in a sandbox.

    That is asked before a lock is taken, for the folder of the locks may be read-only there.
    """
    try:
        sock = dial(check=False)
    except (NotRunning, Busy):
        return
    with sock:
        if peer(sock)[0] == OUTSIDE:
            raise DaemonUnavailable(
                "the daemon is outside this PID namespace, where its end cannot be seen",
                "arctl daemon stop (or restart; in a terminal outside the sandbox)",
            )


def _stop(host: Host) -> int | None:
    """Stop the daemon, wait until it is gone, and return its pid; None if there was none."""
    try:
        sock = dial(check=False)
    except NotRunning:
        return None
    except Busy:
        raise _too_busy() from None
    with sock:
        pid = peer(sock)[0]
        process = os.pidfd_open(pid)
        try:
            _ask_to_stop(sock, pid, process)
            if not _is_gone(process, host):
                raise _unstoppable(pid, f"the daemon (pid {pid}) did not stop within {STOP_DEADLINE_S:.0f} s")
        finally:
            os.close(process)
    return pid


def _is_gone(process: int, host: Host) -> bool:
    """Wait for the daemon's end, and return whether it came in time.

    A thread that hangs on a dead disk keeps its process. Such a daemon has ended when it lets go of its lock.
    """
    end = time.monotonic() + STOP_DEADLINE_S
    while not select.select([process], [], [], LOOK_S)[0]:
        if not is_locked(host.lock):
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
        # It speaks another protocol, but every daemon knows SIGTERM. The pid must be the daemon's own: if
        # systemd has made the socket, the kernel names systemd as the peer.
        if read_info().get("pid") != pid:
            raise
        signal.pidfd_send_signal(process, signal.SIGTERM)


def _unstoppable(pid: int, what: str) -> DaemonUnavailable:
    """A daemon that hangs: a signal that it could handle would wait for it, too."""
    return DaemonUnavailable(what, f"kill -9 {pid} (running jobs go on); then: arctl daemon start")


def _too_busy() -> DaemonUnavailable:
    return DaemonUnavailable(
        "the daemon accepts no connection at this moment", "try again; then: arctl doctor"
    )


def _last_lines(path: Path, count: int) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - count * LINE_BYTES_MAX)
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        raise DaemonUnavailable(f"there is no log yet ({path})", "arctl daemon start") from None
    return lines[1 if start else 0 :][-count:]


def _event(line: str) -> Answer:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    return event if isinstance(event, dict) else {"event": line}


def _log_line(event: Answer) -> str:
    """Show an event of the log as `time level event`, then the facts as name=value, then its traceback."""
    facts = {name: value for name, value in event.items() if name not in (*HEAD, "logger", "traceback")}
    words = [str(event[name]) for name in HEAD if name in event]
    line = one_line(" ".join([*words, *(f"{name}={value}" for name, value in facts.items())]), LINE_SHOWN_MAX)
    return "\n".join([line, *str(event.get("traceback", "")).splitlines()])
