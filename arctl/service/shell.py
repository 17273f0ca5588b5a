"""What the daemon keeps of the shell that starts it by systemd, or installs it: it is as if it started there.

Its files have the umask of that shell, and its jobs the limits (ulimit), which they inherit from the daemon.
"""

import os
import resource
from collections.abc import Mapping

from ardaemon.core.shell_state import umask

# Variables that systemd does not know: where the state and config.toml lie, in which folders the loader finds
# the driver's library, and what of the machine the daemon may use (core/config_file.py).
VARIABLES = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "LD_LIBRARY_PATH", "AR_GPUS", "AR_CPU_SLOTS")
# Limits that trainings run into. Those of time and memory, which may be meant for an agent, are left out.
LIMITS = ("NOFILE", "MEMLOCK", "STACK", "CORE")


def settings() -> list[str]:
    """Return umask and limits of this process as settings of a unit."""
    return [f"UMask={umask():04o}", *(f"Limit{name}={_limit(name)}" for name in LIMITS)]


def variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables of this shell that an installed unit keeps."""
    return {name: environment[name] for name in VARIABLES if environment.get(name)}


def _limit(name: str) -> str:
    both = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
    return ":".join("infinity" if each == resource.RLIM_INFINITY else str(each) for each in both)
