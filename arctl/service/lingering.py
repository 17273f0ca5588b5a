"""Does systemd keep this user's services when the last session ends, and from the boot on (loginctl(1))?"""

import os
import pwd

from arctl.service import manager
from ardaemon.core.errors import Refused

BOOTED = "/run/systemd/system"  # sd_booted(3)
FOLDER = "/var/lib/systemd/linger"
COMMAND = "loginctl enable-linger"
ENDS = "off: when your last session ends, systemd ends the daemon and every run"


def lingers() -> bool | None:
    """Tell whether this user lingers; None where systemd does not run, and nobody ends anything."""
    if not os.path.isdir(BOOTED):
        return None
    return os.path.exists(os.path.join(FOLDER, _name()))


def turn_on() -> None:
    """Let this user linger. Raises Refused if that is not allowed."""
    try:
        manager.run("loginctl", "enable-linger")
    except manager.Failed as error:
        raise Refused(
            f"lingering cannot be turned on: {error.message}", f"ask for: sudo {COMMAND} {_name()}"
        ) from error


def _name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # no entry: then none lingers under that name either
        return str(os.getuid())
