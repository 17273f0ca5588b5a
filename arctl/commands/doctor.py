"""`arctl doctor`: check this machine and this project for what could trouble a run, and name the mend."""

import os
import shlex
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from arctl.base import at_terminal, expr_option, json_option, project, say, say_json
from arctl.check import Check
from arctl.connection import Connection, ConnectionLost
from arctl.dial import OUTSIDE, Answer, Busy, NotRunning, peer
from arctl.git_checks import agent_checks, git_checks
from arctl.lock_holder import CANNOT_BE_REACHED, holder, unreachable
from arctl.owner_check import owner_checks
from arctl.pid_namespace import require_lasting
from arctl.runner_check import runner_checks
from arctl.sandbox import Sandboxed
from arctl.seal_check import seal_check
from arctl.seed_check import seed_checks
from arctl.service import lingering, manager
from arctl.skill import jsonc
from arctl.starter import dial_running
from ardaemon.core import programs
from ardaemon.core.errors import ArdaemonError, DaemonUnavailable, ForeignOwner, Refused
from ardaemon.core.layout import FOLDER, Experiment, Host
from ardaemon.core.locking import RUNTIME, STATE, without_locks
from ardaemon.core.words import CREATE

PYTHON_MIN = (3, 11)
FREE_WARN = 1 << 30  # bytes; with less, the logs of a night may not fit
FREE_MIN = 64 << 20  # bytes; with less, the daemon refuses runs (ardaemon.core.config.FREE_DISK_MIN)
SANDBOX = "sandbox"  # the name of the check that fails where the daemon cannot be reached from here
COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "red"}


@click.command()
@expr_option
@json_option
def doctor(expr: str | None, as_json: bool) -> int:
    """Check this machine and this project. This command starts no daemon."""
    checks = list(_checks(expr))
    if as_json:
        say_json({"checks": [check._asdict() for check in checks]})
    else:
        for check in checks:
            _say(check)
    failed = {check.name for check in checks if check.level == "FAIL"}
    if SANDBOX in failed:
        return Sandboxed.exit_code
    return Refused.exit_code if failed else 0


def _say(check: Check) -> None:
    level = f"{check.level:4}"
    if at_terminal():
        level = click.style(level, fg=COLOURS[check.level])
    click.echo(level, nl=False)
    say(f"  {check.name}: {check.found}" + (f" → {check.mend}" if check.mend else ""))


def _checks(expr: str | None) -> Iterator[Check]:
    host = Host.of_environment()
    yield _python()
    yield _folder("state folder", host.state, STATE)
    yield _folder("runtime folder", host.runtime, RUNTIME)
    yield _runtime_variable(host)
    yield from _lingering()
    yield _disk("disk of the state", host.state)
    folder = None
    try:
        folder = project()
    except ForeignOwner as error:
        yield Check("FAIL", "project", error.message, error.mend)
    else:
        yield _project(Path(folder))
        yield _disk("disk of the project", Path(folder))
        yield from owner_checks(Path(folder), host)
        yield from git_checks(Path(folder))
        yield from agent_checks(Path(folder), os.environ, lambda text: jsonc.parse(text).value)
    try:
        sock = dial_running(check=False)
    except NotRunning:
        yield _not_running(host)
    except Sandboxed as error:
        yield Check("FAIL", SANDBOX, error.message, error.mend)
    except (Busy, ArdaemonError) as error:
        mend = getattr(error, "mend", "")
        useful = mend if mend not in ("", "arctl doctor") else "arctl daemon logs; arctl daemon restart"
        yield Check("FAIL", "daemon", f"no connection: {error}", useful)
    else:
        with sock:
            yield from _daemon(sock, folder, expr)


def _not_running(host: Host) -> Check:
    pid = holder(host.lock)
    if pid is not None:
        error = unreachable(pid, CANNOT_BE_REACHED)
        return Check("FAIL", "daemon", error.message, error.mend)
    try:
        require_lasting()
    except DaemonUnavailable as error:
        return Check("warn", "daemon", f"not running; {error.message}", error.mend)
    return Check("ok", "daemon", "not running; the next command starts it")


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info[:2] >= PYTHON_MIN
    return Check("ok" if fits else "FAIL", "python", version, "" if fits else "install Python 3.11 or newer")


def _folder(name: str, folder: Path, variable: str) -> Check:
    """Check that the folder is this user's own, closed to others, and has locks."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return Check("ok", name, f"{folder} (made at first use)")
    except OSError as error:
        return Check("FAIL", name, f"{folder}: {error.strerror}", "check the rights of the folders above it")
    if not stat.S_ISDIR(status.st_mode):
        return Check("FAIL", name, f"{folder} is not a directory", f"remove it: rm {folder}")
    if status.st_uid != os.getuid():
        return Check(
            "FAIL", name, f"{folder} belongs to another user (uid {status.st_uid})", "remove or rename it"
        )
    if status.st_mode & 0o077:
        return Check("FAIL", name, f"{folder} is open to others", f"chmod 700 {folder}")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        mend = shlex.join(["chmod", "700", str(folder)]) + ", or check the mount"
        return Check("FAIL", name, f"{folder} cannot be used, no daemon can start", mend)
    fault = without_locks(folder, variable)
    if fault is not None:
        return Check("FAIL", name, fault.message, fault.mend)
    return Check("ok", name, str(folder))


def _runtime_variable(host: Host) -> Check:
    named = os.environ.get("XDG_RUNTIME_DIR")
    if named:
        return Check("ok", "XDG_RUNTIME_DIR", named)
    if host.runtime.is_relative_to(host.state):
        return Check("ok", "XDG_RUNTIME_DIR", "not set: socket and locks lie in the state folder")
    return Check(
        "warn",
        "XDG_RUNTIME_DIR",
        "not set: sockets and locks lie under the temporary folder",
        "log in with a full session, or: loginctl enable-linger",
    )


def _disk(name: str, folder: Path) -> Check:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    shown = f"{free / (1 << 30):.1f} GiB free"
    if free < FREE_MIN:
        return Check("FAIL", name, shown, "free some space: runs are refused")
    if free < FREE_WARN:
        return Check("warn", name, shown, "free some space, as with arctl prune --keep-logs 10")
    return Check("ok", name, shown)


def _project(folder: Path) -> Check:
    if not (folder / FOLDER).is_dir():
        return Check("warn", "project", f"{folder} has no experiment", f"{CREATE}, in the project")
    if not os.access(folder / FOLDER, os.R_OK | os.W_OK | os.X_OK):
        mine = os.stat(folder / FOLDER).st_uid == os.getuid()
        mend = shlex.join(["chmod", "u+rwx", str(folder / FOLDER)])
        more = "" if mine else "check its owner and the mount"
        return Check("FAIL", "project", f"{folder / FOLDER} cannot be used", more or mend)
    return Check("ok", "project", str(folder))


def _daemon(sock: socket.socket, folder: str | None, expr: str | None) -> Iterator[Check]:
    connection = Connection(sock)
    try:
        info = connection.call("daemon.info")
    except (ConnectionLost, ArdaemonError) as error:
        yield Check("FAIL", "daemon", f"it does not answer: {error}", "arctl daemon restart")
        return
    yield Check("ok", "daemon", f"pid {info['pid']}, version {info['version']}, {info['socket']}")
    yield _version(info)
    yield _cgroup(peer(sock)[0])
    yield from _service(info)
    yield from _config(info.get("config") or {})
    yield from _queue(connection)
    if folder is not None and not connection.closed:
        yield from _experiment(connection, folder, expr)


def _config(state: Answer) -> Iterator[Check]:
    """Report what the daemon has not taken up of config.toml, and the command in it that fails."""
    if state.get("fault"):
        yield Check("warn", "config.toml", f"not taken up: {state['fault']}", "arctl config check")
    if state.get("held"):
        names = ", ".join(state["held"])
        yield Check("warn", "config.toml", f"{names}: as before for now", "arctl daemon restart")
    if state.get("on_event"):
        why = f"the command of config.toml failed when it last ran: {state['on_event']}"
        yield Check("warn", "on_event", why, "arctl daemon logs")


def _queue(connection: Connection) -> Iterator[Check]:
    """Report the runs that the daemon cannot follow: their project is away, or a file cannot be read."""
    try:
        warnings = connection.call("queue.list").get("warnings") or ()
    except (ConnectionLost, ArdaemonError) as error:
        yield Check("FAIL", "queue", str(error), getattr(error, "mend", ""))
        return
    for warning in warnings:
        yield Check("warn", "queue", str(warning))


def _version(info: Answer) -> Check:
    from importlib import metadata

    try:
        ours = metadata.version("ardaemon")
    except metadata.PackageNotFoundError:
        return Check("ok", "version", f"daemon {info['version']}; arctl is run from its source folder")
    if ours == info["version"]:
        return Check("ok", "version", ours)
    return Check("warn", "version", f"daemon {info['version']}, arctl {ours}", "arctl daemon restart")


def _cgroup(pid: int) -> Check:
    """Check that the daemon is not in this shell's cgroup, with which it would be ended (cgroups(7))."""
    if pid == OUTSIDE:
        return Check("ok", "cgroup", "the daemon is outside this PID namespace")
    try:
        theirs, ours = (Path(f"/proc/{who}/cgroup").read_text() for who in (pid, "self"))
    except OSError as error:
        return Check("warn", "cgroup", f"cannot be read: {error.strerror}")
    if theirs != ours:
        return Check("ok", "cgroup", "the daemon is not in this shell's cgroup")
    return Check(
        "warn",
        "cgroup",
        "the daemon is in this shell's cgroup: if an agent's sandbox is ended as a whole, it ends too",
        "start it from a login shell of your own: arctl daemon restart",
    )


def _service(info: Answer) -> Iterator[Check]:
    """Report who starts the daemon anew after a crash."""
    unit = info.get("unit")
    if not unit and manager.folder() is not None:
        yield Check(
            "warn",
            "service",
            "no unit of systemd's runs the daemon: after a crash the next arctl command starts it",
            "arctl daemon install",
        )
    elif not unit:
        yield Check("ok", "service", "no systemd of yours answers here: arctl starts the daemon by itself")
    else:
        more = "" if unit == manager.SERVICE else "arctl daemon install starts it at log-in, too"
        yield Check("ok", "service", f"{unit} runs the daemon, and starts it anew after a crash", more)


def _lingering() -> Iterator[Check]:
    """Report what a log-out ends, where systemd runs."""
    lingers = lingering.lingers()
    if lingers is not None:
        found = "on: daemon and runs outlive your log-out" if lingers else lingering.ENDS
        yield Check("ok" if lingers else "warn", "lingering", found, "" if lingers else lingering.COMMAND)


def _warnings(view: Answer) -> Iterator[Check]:
    """Report what is wrong with the experiment's files, but for the loss of all runs not as a failure."""
    from ardaemon.core import lost_runs  # slower to load

    experiment = Experiment(Path(view["folder"]))
    refusal = lost_runs.refusal(experiment, bool(view["session"].get("settings")))
    for warning in view.get("warnings") or ():
        if str(warning).startswith(refusal.message):
            yield Check("FAIL", "runs", refusal.message, refusal.mend)
        else:
            yield Check("warn", "experiment", str(warning))


def _blocked(view: Answer) -> Iterator[Check]:
    """Report the runs that cannot go on: the first of them, and how many there are."""
    shown = [run for run in view.get("active") or () if run.get("blocked")]
    for run in shown:
        yield Check("FAIL", "run", f"{run['run_id']} cannot go on: {run.get('why')}")
    more = view.get("blocked", len(shown)) - len(shown)
    if more > 0:
        yield Check("FAIL", "run", f"and {more} more", "arctl queue")


def _experiment(connection: Connection, folder: str, expr: str | None) -> Iterator[Check]:
    where = {"project": folder, "expr": expr or os.environ.get("AR_EXPR") or None}
    if not (Path(folder) / FOLDER).is_dir():
        return
    try:
        view = connection.call("status.get", **where)
        yield Check("ok", "experiment", str(view["expr"]))
        if view.get("unclean"):
            yield Check("FAIL", "sentinel", "processes survived a kill; runs are refused", "arctl clean")
        yield from runner_checks(view, os.environ, programs.own_environment())
        yield from _warnings(view)
        yield from _blocked(view)
        yield from seed_checks(connection.call("noise.get", project=folder, expr=view["expr"]))
        yield seal_check(connection.call("experiment.seal", project=folder, expr=view["expr"]))
    except (ConnectionLost, ArdaemonError) as error:
        yield Check("FAIL", "experiment", str(error), getattr(error, "mend", ""))
