"""The names of a run's variables: by them the next run can tell that it lacks some. Pure.

Agents clear the environment of the servers that they start, and a run by MCP gets that of such a server. Its
record has the names, never a value, and none of a credential (core/denied.py).
"""

import re
from collections.abc import Iterable, Mapping

from ardaemon.pipeline.environment import OF_A_SHELL

NAMES_MAX = 512  # of one record, and of one answer: an environment has a hundred; more are left out
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")  # others are no names that a script would ask for
# What desktops and shells set for themselves: no training depends on it. (OF_A_SHELL differs from shell to
# shell; this does not, so it counts where environments are compared.)
OF_A_DESKTOP = re.compile(
    r"BROWSER|COLORFGBG|DBUS_.*|DESKTOP_.*|DISPLAY|EDITOR|GDMSESSION|GNOME_.*|GTK_.*|HIST.*|HOSTNAME|KDE_.*|LESS.*"
    r"|LOGNAME|LS_COLORS|MAIL|MANPAGER|MOTD_.*|PAGER|PROMPT_COMMAND|PS[0-9]|QT_.*|SESSION_MANAGER|SHELL|USERNAME"
    r"|VISUAL|VTE_.*|WAYLAND_DISPLAY|WINDOWPATH|XAUTHORITY|XDG_(?:CURRENT|MENU|SEAT|SESSION|VTNR).*|ZSH.*"
)


def names_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names in a run's environment (filtered by now) on which a training may depend, sorted."""
    return tuple(sorted(filter(_matters, environment)))[:NAMES_MAX]


def missing(wanted: Iterable[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return which of the names that another run had are not in this run's environment."""
    return tuple(name for name in wanted if name not in environment and _matters(name))[:NAMES_MAX]


def _matters(name: str) -> bool:
    known = name in OF_A_SHELL or OF_A_DESKTOP.fullmatch(name) is not None
    return NAME.match(name) is not None and not known
