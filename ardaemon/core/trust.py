"""Tells whom a person trusts: the setting `trusted` of config.toml, as it is now (standard library alone)."""

import os
from collections.abc import Callable, Sequence

from ardaemon.core import config_text
from ardaemon.core.config_faults import Fault, Faults, line_of
from ardaemon.core.config_text import Read
from ardaemon.core.errors import UsageError

Trusted = Callable[[], Sequence[str]]  # asked only where a folder is another user's


def is_trusted(folder: str, trusted: Trusted) -> bool:
    """Return whether the folder is in or below one of `trusted`, symlinks followed."""
    folders = [os.path.realpath(each) for each in trusted()]
    real = os.path.realpath(folder) if folders else ""
    return any(os.path.commonpath((real, each)) == each for each in folders)


def folders(path: str, read: Read) -> list[str]:
    """Return the trusted folders, whatever else is wrong in the file; one that cannot be read trusts nobody.

    Raises UsageError naming file and fault.
    """
    with config_text.named(path):
        try:
            text = config_text.text(path, read)
        except UsageError:
            return []
        found = config_text.table(text).get("trusted", [])
        if not isinstance(found, list) or not all(map(_is_absolute, found)):
            raise Faults([Fault(line_of(text, "trusted"), "trusted: expected a list of absolute paths")])
        return found


def _is_absolute(folder: object) -> bool:
    return isinstance(folder, str) and folder.startswith("/") and "\0" not in folder
