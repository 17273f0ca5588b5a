"""Where the client looks at its start: strings and os alone.

`run`, `wait` and `status` load this and not layout: pathlib and dataclasses take twice as long to import as
all the rest of arctl.
"""

import os
import re

FOLDER = ".autoresearch"
# The longest path a Unix socket address can hold, less its final NUL (unix(7)).
SOCKET_PATH_MAX = 107
_MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def find_project(start: str) -> str:
    """The nearest parent that holds .autoresearch/, else the git root, else `start` itself."""
    for marker in (FOLDER, ".git"):
        folder = start
        while True:
            if os.path.exists(os.path.join(folder, marker)):
                return folder
            parent = os.path.dirname(folder)
            if parent == folder:
                break
            folder = parent
    return start


def state_folder() -> str:
    """This user's state on this machine."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(home, "ardaemon", machine_id())


def runtime_folder() -> str:
    """Sockets and locks; a folder of the user's own under the temporary folder where none is given."""
    named, own = os.environ.get("XDG_RUNTIME_DIR"), f"ardaemon-{os.getuid()}"
    wanted = [os.path.join(named, "ardaemon")] if named else []
    for folder in [*wanted, os.path.join(os.environ.get("TMPDIR") or "/tmp", own)]:
        if len(os.fsencode(socket_of(folder))) <= SOCKET_PATH_MAX:
            return folder
    return os.path.join("/tmp", own)


def info_of(state: str) -> str:
    """daemon.json: pid, version, socket."""
    return os.path.join(state, "daemon.json")


def socket_of(runtime: str) -> str:
    """The daemon's socket."""
    return os.path.join(runtime, "control.sock")


def machine_id() -> str:
    """This host's name for its folder in a home that several hosts may share (machine-id(5))."""
    for name in _MACHINE_ID_FILES:
        try:
            with open(name, encoding="ascii") as file:
                text = file.read().strip()
        except (OSError, UnicodeDecodeError):
            continue
        if re.fullmatch(r"[0-9a-f]{32}", text):
            return text
    return re.sub(r"[^A-Za-z0-9.-]", "-", os.uname().nodename) or "localhost"
