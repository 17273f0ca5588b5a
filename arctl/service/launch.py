"""Start the daemon through the user's systemd, so that it does not live in the cgroup of whoever asks for it.

An agent's shell, its sandbox and its terminal may be ended as a whole; what systemd has started is in none of
them. The unit is the installed one, or else a transient one with the same properties.
"""

import os
import shlex

from arctl.service import manager, shell, units
from arctl.service.manager import SERVICE, SOCKET, TRANSIENT, Failed
from ardaemon.core import isolated, places, words
from ardaemon.core.errors import DaemonUnavailable
from ardaemon.core.text import one_line

WHY_MAX = 300  # characters of the reason for which a unit could not start
SHOWN = ("LoadState", "Environment")
LOADED, ABSENT = "loaded", "not-found"  # of LoadState; a masked or broken unit is left alone


def start(seconds: float) -> bool:
    """Have systemd start the daemon, and wait until it serves; False where no systemd is there to do so.

    Raises DaemonUnavailable, which says why, if it could not.
    """
    if manager.folder() is None:
        return False
    try:
        unit, given = manager.show(SERVICE, *SHOWN), manager.environment()
        if unit["LoadState"] == ABSENT and _is_for_us(given | isolated.environment(os.environ)):
            name, command = _transient()
        elif unit["LoadState"] == LOADED and _is_for_us(given | _variables(unit["Environment"])):
            name, command = SERVICE, _installed()
        else:
            return False
    except Failed:
        return False
    return wait_for(name, command, seconds)


def require_no_failure() -> None:
    """Raise DaemonUnavailable if the installed unit has failed, and say why."""
    try:
        if manager.folder() is None or manager.show(SERVICE, "ActiveState")["ActiveState"] != "failed":
            return
    except Failed:
        return
    raise _failed(SERVICE, "its unit has failed")


def _variables(setting: str) -> dict[str, str]:
    """Read the variables that a unit sets, as systemctl shows them."""
    return dict(word.split("=", 1) for word in shlex.split(setting) if "=" in word)


def _is_for_us(given: dict[str, str]) -> bool:
    """Tell whether a daemon with this environment has the state folder that this client asks in."""
    base = given.get("XDG_STATE_HOME") or os.path.join(given.get("HOME", ""), ".local/state")
    return os.path.realpath(base) == os.path.realpath(os.path.join(places.state_folder(), "../.."))


def _installed() -> list[str]:
    """Return the command that starts the installed unit, and first its socket where that is used."""
    names = [SERVICE]
    if manager.show(SOCKET, "UnitFileState")["UnitFileState"] == "enabled":
        names = [SOCKET, SERVICE]
    return ["systemctl", "--user", "start", *names]


def _transient() -> tuple[str, list[str]]:
    """Return the name of a new unit without a file, and the command that starts it.

    Its daemon gets the environment that a daemon gets of us.
    """
    name = TRANSIENT.replace("*", os.urandom(4).hex())
    properties = [*units.properties(manager.version()), *shell.settings()]
    settings = [f"--property={setting}" for setting in properties]
    given = [f"--setenv={name}={value}" for name, value in isolated.environment(os.environ).items()]
    unit = ["systemd-run", "--user", "--quiet", f"--unit={name}", "--description=ardaemon"]
    command = isolated.command("serve")
    return name, [*unit, "--working-directory=/", *settings, *given, "--", *command]


def _forget(unit: str) -> None:
    """Have systemd forget a unit without a file that has failed."""
    try:
        manager.ask("reset-failed", unit)
    except Failed:  # it has done so already
        pass


def wait_for(unit: str, command: list[str], seconds: float) -> bool:
    """Run the command that starts a unit. Return False if systemd does not know the unit, even now.

    Raises DaemonUnavailable, which says why the unit could not start.
    """
    try:
        manager.run(*command, seconds=seconds)
    except Failed as error:
        if not _is_known(unit):
            return False
        raise _failed(unit, error.message) from error
    return True


def _is_known(unit: str) -> bool:
    """Tell whether systemd has the unit: an old one makes none if it does not know each of its settings."""
    try:
        return manager.show(unit, "LoadState")["LoadState"] != ABSENT
    except Failed:
        return False


def _failed(unit: str, otherwise: str) -> DaemonUnavailable:
    """Make the error that says why a unit has failed: the daemon's own words, or how its process ended."""
    why = _why(unit) or otherwise
    if unit != SERVICE:
        _forget(unit)
    return DaemonUnavailable(
        f"systemd could not start the daemon: {one_line(why, WHY_MAX)}",
        f"mend that, then: arctl daemon start (what it printed: journalctl --user -u {unit} -n 20)",
    )


def _why(unit: str) -> str:
    try:
        ended = manager.show(unit, "StatusText", "Result", "ExecMainStatus")
    except Failed:
        return ""
    refusal = words.refused(ended["StatusText"])
    if refusal is not None:
        return refusal
    result = ended["Result"]
    return "" if result in ("", "success") else f"{result}, exit code {ended['ExecMainStatus']}"
