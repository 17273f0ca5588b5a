"""How the daemon's process is started: its command line and its environment, whoever starts it.

A daemon lives for weeks and serves every project of its user. So nothing may stay in it of the shell that
happened to start it: no PYTHONPATH of a project, no preloaded library, no agent's key. Jobs get the
environment of the client that submits them, never the daemon's own.
"""

import os
import site
import sys
from collections.abc import Mapping

# What the daemon keeps of its starter's environment.
KEPT = frozenset(
    "PATH HOME USER LOGNAME LANG LANGUAGE TZ TMPDIR DBUS_SESSION_BUS_ADDRESS"
    " AR_GPUS AR_CPU_SLOTS".split()  # core/config_file.py reads these two
)
KEPT_FAMILIES = ("LC_", "XDG_", "CUDA_", "NVIDIA_VISIBLE_", "NVIDIA_DRIVER_")
# What systemd says to the very process that it has started (systemd.exec(5)): `ardaemon serve` keeps it when
# it replaces itself. A daemon that a client starts gets none of it: it would speak for the client's service.
FROM_SYSTEMD = frozenset(
    "NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID LISTEN_PID LISTEN_FDS LISTEN_FDNAMES LISTEN_PIDFDID".split()
)
# Where the loader finds the driver's library, and an interpreter its own. Its other variables (LD_PRELOAD,
# LD_AUDIT) bring code into every process of the daemon's.
LIBRARIES = "LD_LIBRARY_PATH"

# With -I the interpreter looks at no PYTHON* variable, not at the working folder and not at the user's own
# packages. What the daemon itself needs of these is put before other packages, and behind Python's own.
_PROGRAM = (
    "import sys;"
    " at = next((i for i, path in enumerate(sys.path) if path.endswith('-packages')), len(sys.path));"
    " sys.path[at:at] = [path for path in {folders!r} if path not in sys.path];"
    " from ardaemon.__main__ import main; main()"
)


def environment(of: Mapping[str, str], also: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return the part of the environment `of` that the daemon gets, and the variables named in `also`."""
    names = KEPT | also
    kept = {name: value for name, value in of.items() if name in names or name.startswith(KEPT_FAMILIES)}
    # The loader takes an empty entry for the working folder (ld.so(8)).
    libraries = [path for path in of.get(LIBRARIES, "").split(":") if os.path.isabs(path)]
    return {**kept, LIBRARIES: ":".join(libraries)} if libraries else kept


def command(*arguments: str) -> list[str]:
    """Return the command line of an isolated `ardaemon`, with the code that this process runs."""
    return [sys.executable, "-I", "-c", _PROGRAM.format(folders=_folders()), *arguments]


def _folders() -> list[str]:
    """Return where ardaemon lies, and the user's own packages if this process takes them (`pip --user`)."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    users = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
    return list(dict.fromkeys([root, users] if os.path.isabs(users) else [root]))
