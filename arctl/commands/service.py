"""`arctl daemon install | uninstall`: the daemon as a service of systemd, and what others say of it."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from arctl import output
from arctl.base import json_option, say, say_json
from arctl.dial import Answer
from arctl.pid_namespace import require_lasting
from arctl.service import install as planning
from arctl.service import launch, lingering, manager
from arctl.service.manager import SERVICE, SOCKET
from arctl.starter import start_lock
from arctl.stopper import require_near, stop_running
from ardaemon.core.errors import DaemonUnavailable
from ardaemon.core.layout import Host

INSTALL, UNINSTALL = "arctl daemon install", "arctl daemon uninstall"
dry_option = click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
force_option = click.option("--force", is_flag=True, help="Also where a person has changed a unit.")


@click.command()
@click.option("--socket", "by_socket", is_flag=True, help="Start with the first command, not at log-in.")
@click.option("--linger", is_flag=True, help="Have it live on after the log-out, and start at boot.")
@dry_option
@force_option
@json_option
def install(by_socket: bool, linger: bool, dry_run: bool, force: bool, as_json: bool) -> None:
    """Install the daemon as a service of your systemd, and start it. Running jobs go on."""
    require_near()
    require_lasting()
    manager.require()
    plan = planning.installation(by_socket)
    if not force:
        planning.require_ours(plan, INSTALL + (" --socket" if by_socket else ""))
    if dry_run:
        return _show(plan, by_socket, linger, as_json)
    if linger:
        lingering.turn_on()  # what may be refused comes first
    _take_over(plan, by_socket)
    lingers = lingering.lingers()
    if as_json:
        names = planning.installed()
        return say_json({"installed": names, "files": list(plan.written), "lingering": lingers})
    for path in plan.written:
        say(f"written: {path}")
    how = "starts with the first arctl command" if by_socket else "starts at log-in"
    say(f"{SERVICE} {how}, and again after a crash; runs go on meanwhile")
    for line in _of_lingering(lingers):
        say(line)
    return None


@click.command()
@dry_option
@force_option
@json_option
def uninstall(dry_run: bool, force: bool, as_json: bool) -> None:
    """Take the service away and stop its daemon. Running jobs go on, and the next command starts a daemon."""
    manager.require()
    plan = planning.removal()
    if not force:
        planning.require_ours(plan, UNINSTALL)
    if dry_run:
        return _show(plan, False, False, as_json)
    with _alone():
        planning.carry_out(plan)
    if as_json:
        return say_json({"removed": plan.removed})
    for path in plan.removed:
        say(f"removed: {path}")
    done = "running jobs go on; the next arctl command starts a daemon"
    say(done if plan.removed else "nothing is installed")
    return None


def service_facts() -> dict[str, Any]:
    """Return what the client adds to an answer of daemon.info."""
    return {"lingering": lingering.lingers()}


def service_lines(info: Answer, facts: dict[str, Any]) -> Iterator[str]:
    """Say who keeps the daemon alive."""
    if not info.get("unit"):
        more = "no systemd of yours answers here" if manager.folder() is None else INSTALL
        yield f"service: none; after a crash the next arctl command starts it ({more})"
        return
    watched = info.get("watchdog_s")
    yield f"service: {info['unit']}" + (f", started anew if it hangs for {watched:.0f} s" if watched else "")
    yield from _of_lingering(facts["lingering"])


def _of_lingering(lingers: bool | None) -> Iterator[str]:
    if lingers is False:
        yield f"lingering is {lingering.ENDS} → {lingering.COMMAND}"
    elif lingers:
        yield "lingering is on: daemon and runs outlive your log-out"


def _show(plan: planning.Plan, by_socket: bool, linger: bool, as_json: bool) -> None:
    """Show a plan, in the order in which it would be carried out."""
    first = [lingering.COMMAND] if linger else []
    before = [_ctl(words) for words in plan.before]
    after = [_ctl(words) for words in plan.after]
    if plan.written:
        after.append(_ctl(["restart", SOCKET if by_socket else SERVICE]))
    if as_json:
        before = first + before
        return say_json({"before": before, "written": plan.written, "removed": plan.removed, "after": after})
    for line in first:
        say(line)
    for path, text in plan.written.items():
        say(f"write {path}:")
        say("".join(f"    {line}\n" for line in text.splitlines()).rstrip("\n"))
    for line in before:
        say(line)
    for path in plan.removed:
        say(f"rm {path}")
    for line in after:
        say(line)
    return None


def _ctl(words: list[str]) -> str:
    return shlex.join(["systemctl", "--user", *words])


def _take_over(plan: planning.Plan, by_socket: bool) -> None:
    """Install, and have systemd start the daemon in the place of one that runs.

    That one is stopped once the files are there: systemd's socket would take the place of its socket, and a
    unit without a file that of the installed one. Clients that wait for a run go on waiting.
    """
    with _alone() as host:
        planning.put(plan, lambda path, data: output.write(path, data, planning.AGAIN))
        was_running = stop_running(host) is not None
        planning.carry_out(plan)
        if not by_socket:
            _restart(SERVICE)
            return
        manager.ask("stop", SERVICE, seconds=manager.SETTLE_S)
        _restart(SOCKET, *[SERVICE] * was_running)


def _restart(*names: str) -> None:
    """Start these units, anew if they run: as a client may have started them."""
    if not launch.wait_for(SERVICE, ["systemctl", "--user", "restart", *names], manager.SETTLE_S):
        raise DaemonUnavailable(f"systemd does not find {SERVICE}", "systemctl --user status ardaemon")


@contextmanager
def _alone() -> Iterator[Host]:
    """Let no other client start or stop a daemon meanwhile."""
    host = Host.of_environment()
    with start_lock(host):
        yield host
