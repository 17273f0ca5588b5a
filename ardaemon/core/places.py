"""Paths that the client needs at its start, as strings.

`run`, `wait` and `status` load this module in place of core/layout.py: pathlib and dataclasses take twice as
long to import as all the rest of arctl.
"""

import os
import re
from collections.abc import Iterator

from ardaemon.core.errors import UsageError
from ardaemon.core.text import as_text, is_text

FOLDER = ".autoresearch"
# The longest path a Unix socket address can hold, less its final NUL (unix(7)).
SOCKET_PATH_MAX = 107
_MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def named(variable: str) -> str | None:
    """Return the folder in an environment variable; None if it is unset or relative.

    The XDG Base Directory Specification wants a relative path ignored.
    """
    value = os.environ.get(variable, "")
    return value if value.startswith("/") else None


def home() -> str:
    """Return the user's home folder. Raises UsageError if neither HOME nor the user database names one."""
    folder = named("HOME")
    if folder is None:
        import pwd  # hardly ever needed

        try:
            folder = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            folder = ""
    if not folder.startswith("/"):
        raise UsageError(
            f"this user (uid {os.getuid()}) has no home folder: HOME is not set to an absolute path",
            "set HOME, or XDG_STATE_HOME, to a folder of yours",
        )
    return folder


def state_folder() -> str:
    """Return the folder of this user's state on this machine."""
    base = named("XDG_STATE_HOME") or os.path.join(home(), ".local", "state")
    return os.path.join(_as_files_have_it(base, "XDG_STATE_HOME"), "ardaemon", machine_id())


def _as_files_have_it(folder: str, variable: str) -> str:
    """Return the folder, if it can stand in a file of JSON. Raises UsageError if its path is not UTF-8."""
    if is_text(folder):
        return folder
    raise UsageError(
        f"the path {as_text(folder)} is not UTF-8 text", f"set {variable} to a folder of yours whose path is"
    )


def runtime_folder() -> str:
    """Return the folder of the socket and the locks.

    Without XDG_RUNTIME_DIR, or if the socket's path would be too long there, it lies in the state folder. The
    temporary folder comes last: there any other user can make a folder of that name first.
    """
    for folder in _runtime_folders():
        if len(os.fsencode(socket_of(folder))) <= SOCKET_PATH_MAX:
            return _as_files_have_it(folder, "XDG_RUNTIME_DIR")
    return os.path.join("/tmp", _own())


def _runtime_folders() -> Iterator[str]:
    """Yield where the socket and the locks may lie, the best place first."""
    given = named("XDG_RUNTIME_DIR")
    if given is not None:
        yield os.path.join(given, "ardaemon")
    yield os.path.join(state_folder(), "run")
    yield os.path.join(named("TMPDIR") or "/tmp", _own())


def _own() -> str:
    """Return the name of the user's own folder among those of others."""
    return f"ardaemon-{os.getuid()}"


def info_of(state: str) -> str:
    """Return the path of daemon.json, which holds the daemon's pid, version and socket."""
    return os.path.join(state, "daemon.json")


def socket_of(runtime: str) -> str:
    """Return the path of the daemon's socket."""
    return os.path.join(runtime, "control.sock")


def config_file() -> str:
    """Return the path of the user's config.toml, which need not exist; /dev/null without a home folder."""
    try:
        base = named("XDG_CONFIG_HOME") or os.path.join(home(), ".config")
    except UsageError:
        return os.devnull  # an empty file: the defaults hold
    return os.path.join(base, "ardaemon", "config.toml")


def machine_id() -> str:
    """Return this host's id (machine-id(5)), else its name: several hosts may share one home folder."""
    for name in _MACHINE_ID_FILES:
        try:
            with open(name, encoding="ascii") as file:
                text = file.read().strip()
        except (OSError, UnicodeDecodeError):
            continue
        if re.fullmatch(r"[0-9a-f]{32}", text):
            return text
    return re.sub(r"[^A-Za-z0-9.-]", "-", os.uname().nodename) or "localhost"
