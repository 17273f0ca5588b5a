"""Ask the user's systemd, through systemctl: what it knows of the daemon's units, and to start and stop them.

Wherever the folder of the user's systemd has its socket, systemctl reaches it without D-Bus.
"""

import ast
import os
import re
import stat
import subprocess
import time

from ardaemon.core import places
from ardaemon.core.errors import DaemonUnavailable, Refused
from ardaemon.core.text import one_line

SERVICE, SOCKET = "ardaemon.service", "ardaemon.socket"
# Of units without a file, each under a name of its own: one whose daemon has ended stays loaded as long as a
# job lives in its cgroup.
TRANSIENT = "ardaemon-*.service"
# systemctl answers within milliseconds; one that starts a unit waits for it, as long as its caller says.
ANSWER_S = 10.0
SETTLE_S = 45.0  # for a unit that stops to have stopped: TimeoutStopSec, and the next start
POLL_S = 0.05  # a client hears of a unit's state only by asking
SHOWN_MAX = 300  # characters of what systemctl prints that are shown
UP = ("active", "activating", "reloading")
WITHOUT = (
    "in a container let arctl start the daemon by itself (arctl daemon start), or have the container's own"
    " supervisor run: ardaemon serve"
)


class Failed(DaemonUnavailable):
    """systemctl could not do what it was asked for."""


def folder() -> str | None:
    """Return the runtime folder in which this user's systemd listens; None where it does not.

    A shell without XDG_RUNTIME_DIR (cron, su) may still have one in the usual place. That is not asked by a
    shell with a state folder of its own, whose daemon has its socket there.
    """
    where = places.named("XDG_RUNTIME_DIR")
    if where is None and places.named("XDG_STATE_HOME") is not None:
        return None
    where = where or f"/run/user/{os.getuid()}"
    try:
        status = os.stat(os.path.join(where, "systemd/private"))
    except OSError:
        return None
    return where if stat.S_ISSOCK(status.st_mode) and status.st_uid == os.getuid() else None


def require() -> None:
    """Raise Refused where no systemd of this user answers."""
    if folder() is None:
        raise Refused("no systemd of this user answers here", WITHOUT)


def ask(*words: str, seconds: float = ANSWER_S) -> str:
    """Run `systemctl --user` with these words, and return what it prints. Raises Failed."""
    return run("systemctl", "--user", *words, seconds=seconds)


def run(*command: str, seconds: float = ANSWER_S) -> str:
    """Run a command of systemd's for this user, and return what it prints. Raises Failed."""
    environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    environment.setdefault("XDG_RUNTIME_DIR", folder() or "")
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # a path need not be UTF-8
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = getattr(error, "strerror", None) or f"no answer within {seconds:.0f} s"
        raise Failed(f"{command[0]}: {why}", "systemctl --user status") from error
    if done.returncode != 0:
        why = one_line(done.stderr.strip(), SHOWN_MAX) or f"exit code {done.returncode}"
        raise Failed(f"{' '.join(command[:3])}: {why}", "systemctl --user status")
    return done.stdout


def show(unit: str, *names: str) -> dict[str, str]:
    """Return properties of a unit by their names; those of one that does not exist have a value as well."""
    return _blocks(names, unit)[0]


def _blocks(names: tuple[str, ...], *units: str) -> list[dict[str, str]]:
    """Return the same of several units, also of all that match a pattern and are loaded."""
    blocks = ask("show", f"--property={','.join(names)}", *units).split("\n\n")
    lines = [block.splitlines() for block in blocks]
    return [
        dict.fromkeys(names, "") | dict(line.split("=", 1) for line in some if "=" in line) for some in lines
    ]


def version() -> int:
    """Return systemd's version: 252."""
    number = re.match(r"systemd (\d+)", ask("--version"))
    return int(number[1]) if number is not None else 0


def environment() -> dict[str, str]:
    """Return the environment that units get."""
    lines = ask("show-environment").splitlines()
    return {name: _value(text) for name, _, text in (line.partition("=") for line in lines)}


def _value(text: str) -> str:
    """Read a value as a shell would: one with spaces is shown as $'…', with escapes as Python has them."""
    if not text.startswith("$'"):
        return text
    try:
        return str(ast.literal_eval(text[1:]))
    except (ValueError, SyntaxError):  # nothing that we look for is written like that
        return text


def listens() -> bool:
    """Tell whether systemd listens at the daemon's socket, or cannot be asked whether it does."""
    try:
        return folder() is not None and show(SOCKET, "ActiveState")["ActiveState"] in UP
    except Failed:
        return True


def is_coming() -> bool:
    """Tell whether a unit of ours runs or starts, once none stops any more: a restart stops it first."""
    end = time.monotonic() + SETTLE_S
    while folder() is not None:
        try:
            states = _blocks(("ActiveState", "Job"), SERVICE, TRANSIENT)
        except Failed:
            return False
        if any(state["ActiveState"] in UP for state in states):
            return True
        if time.monotonic() > end or all(state["ActiveState"] != "deactivating" for state in states):
            return any(state["Job"] not in ("", "0") for state in states)
        time.sleep(POLL_S)
    return False
