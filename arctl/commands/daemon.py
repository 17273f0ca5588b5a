"""`arctl daemon start | stop | restart | status | logs`; install and uninstall are in service.py."""

import json
import os
import socket
from pathlib import Path

import click

from arctl.base import json_option, say, say_json, warn
from arctl.client import connect
from arctl.commands.service import install, service_facts, service_lines, uninstall
from arctl.connection import Connection, ConnectionLost
from arctl.dial import Answer, Busy, NotRunning
from arctl.lock_holder import CANNOT_BE_REACHED, holder, unreachable
from arctl.pid_namespace import require_lasting
from arctl.starter import dial_running, start_lock, start_locked
from arctl.stopper import require_near, stop_running, too_busy
from ardaemon.core import config_file, places
from ardaemon.core.errors import DaemonUnavailable
from ardaemon.core.layout import Host
from ardaemon.core.text import one_line

TRIES = 3  # of `start`, where the daemon that answers is ending
LINES = 40
LINES_MAX = 1000
LINE_BYTES_MAX = 4096  # bytes of the log's end that are read for each line that is wanted
LINE_SHOWN_MAX = 400
HEAD = ("time", "level", "event")  # the first fields of a shown line; `logger` is of no use to a user


@click.group()
def daemon() -> None:
    """Start, stop or inspect the daemon. Running jobs go on without it."""


daemon.add_command(install)
daemon.add_command(uninstall)


@daemon.command()
@json_option
def start(as_json: bool) -> None:
    """Start the daemon, if it is not running. Most commands do so by themselves."""
    for left in reversed(range(TRIES)):
        try:
            info = Connection(connect()).call("daemon.info")
        except ConnectionLost:  # one that is ending: another one is started
            if left == 0:
                raise DaemonUnavailable("the daemon goes away each time", "arctl daemon logs") from None
            continue
        _say(info, as_json)
        return


@daemon.command()
@json_option
def stop(as_json: bool) -> None:
    """Stop the daemon. Running jobs go on, and the next daemon takes them up."""
    require_near()
    host = Host.of_environment()
    with start_lock(host):
        pid = stop_running(host)
    if as_json:
        say_json({"stopped": pid is not None, "pid": pid})
    else:
        say("the daemon was not running" if pid is None else f"the daemon (pid {pid}) is stopped")


@daemon.command()
@json_option
def restart(as_json: bool) -> None:
    """Stop the daemon and start the installed version. A command that waits for a run goes on waiting."""
    require_near()
    require_lasting()  # before the daemon that runs is stopped
    config_file.load(places.config_file(), os.environ)  # a fault would keep the next one from starting
    host = Host.of_environment()
    with start_lock(host):
        stop_running(host)
        sock = start_locked(host)
    _say_info(sock, as_json)


@daemon.command()
@json_option
def status(as_json: bool) -> None:
    """Show pid, version, socket and uptime. This command starts no daemon."""
    try:
        sock = dial_running()
    except NotRunning:
        pid = holder(Host.of_environment().lock)
        if pid is not None:
            raise unreachable(pid, CANNOT_BE_REACHED) from None
        raise DaemonUnavailable("the daemon is not running", "arctl daemon start") from None
    except Busy:
        raise too_busy() from None
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
    _say(info, as_json)


def _say(info: Answer, as_json: bool) -> None:
    warn(info)
    facts = service_facts()
    if as_json:
        say_json({**info, **facts})
        return
    say(f"running: pid {info['pid']}, version {info['version']}, up {info['uptime_s']:.0f} s")
    say(f"runs not committed: {info['active']}")
    say(f"socket: {info['socket']}")
    say(f"log: {info['log']}")
    for line in service_lines(info, facts):
        say(line)


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
