"""Put the daemon's units in place, and take them away: what is to be done, and doing it."""

import contextlib
import os
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from arctl.service import manager, shell, units
from arctl.service.manager import SERVICE, SOCKET
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import Refused, StorageError

DOWN = "inactive"  # of ActiveState; systemd refuses to stop such a unit if its file has a fault
AGAIN = "mend that; then: arctl daemon install"
FOLDER_MODE = 0o755  # as systemctl makes it
Commands = list[list[str]]  # words for `systemctl --user`


class Plan(NamedTuple):
    """What is to be done: files to be written, words for systemctl, files to be removed, more words."""

    written: dict[str, str]
    before: Commands
    removed: list[str]
    after: Commands


def installation(socket: bool) -> Plan:
    """Plan to install the service; with `socket` it starts with the first command, and not at log-in."""
    systemd = manager.version()
    wanted = (SERVICE, SOCKET) if socket else (SERVICE,)
    kept = shell.variables(), shell.settings()
    texts = {_path(name): units.rendered(name, systemd, *kept) for name in wanted}
    removed = [] if socket else _present(SOCKET)
    before = [["disable", SERVICE]] if socket and _present(SERVICE) else []
    before += [["disable", "--now", SOCKET]] if removed else []
    return Plan(texts, before, removed, [["daemon-reload"], ["enable", SOCKET if socket else SERVICE]])


def removal() -> Plan:
    """Plan to take away what is installed: nothing, if nothing is."""
    present = [name for name in (SOCKET, SERVICE) if _present(name)]
    before = [["disable", *present]] if present else []
    up = [name for name in present if manager.show(name, "ActiveState")["ActiveState"] != DOWN]
    before += [["stop", *up]] if up else []
    return Plan({}, before, [_path(name) for name in present], [["daemon-reload"]] if present else [])


def require_ours(plan: Plan, command: str) -> None:
    """Raise Refused if the plan would overwrite or remove a file that a person has changed or written."""
    for path in (*plan.written, *plan.removed):
        if os.path.lexists(path) and _is_changed(path):
            raise Refused(
                f"{path} is not as arctl has written it",
                f"keep your changes with: systemctl --user edit ardaemon; then: {command} --force",
            )


def put(plan: Plan, write: Callable[[str, bytes], None]) -> None:
    """Put the planned files in their places; `write` does so with one of them.

    systemd reads them when it is told to. So nothing has changed if one cannot be written: those that were
    not there before are removed again. Raises StorageError.
    """
    made = [path for path in plan.written if not os.path.lexists(path)]
    try:
        for path, text in plan.written.items():
            _make_folder(os.path.dirname(path))
            write(path, text.encode())
    except BaseException:
        for path in made:
            with contextlib.suppress(OSError):
                os.unlink(path)
        raise


def carry_out(plan: Plan) -> None:
    """Do what is planned beside the files that were put in their places."""
    for words in plan.before:
        manager.ask(*words, seconds=manager.SETTLE_S)
    for path in plan.removed:
        os.unlink(path)
    for words in plan.after:
        manager.ask(*words)


def _make_folder(folder: str) -> None:
    try:
        os.makedirs(folder, FOLDER_MODE, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}", AGAIN) from error


def installed() -> list[str]:
    """Return which of our units are installed, by their names."""
    return [name for name in (SERVICE, SOCKET) if _present(name)]


def _present(name: str) -> list[str]:
    path = _path(name)
    return [path] if os.path.lexists(path) else []


def _path(name: str) -> str:
    """Return where a unit is installed."""
    return os.path.join(_folder(), name)


@cache
def _folder() -> str:
    """Return the folder in which systemd looks for a user's units, whatever this shell has set."""
    given = manager.environment()
    base = given.get("XDG_CONFIG_HOME") or os.path.join(given["HOME"], ".config")
    return os.path.join(base, "systemd/user")


def _is_changed(path: str) -> bool:
    try:
        return units.is_changed(files.text(path, file_kinds.INSTALLED))
    except (OSError, ValueError):  # a link, as of a masked unit, no plain file, or no text
        return True
