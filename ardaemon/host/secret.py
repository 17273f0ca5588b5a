"""A secret of the user's on this machine, that is in no project and in no job's environment."""

import os
from pathlib import Path

from ardaemon.core import file_kinds, files
from ardaemon.host import durable

BYTES = 32  # nobody guesses 256 bits


def key(path: Path) -> bytes:
    """Return the key in the file `path`, which is made if it holds none. Raises OSError."""
    try:
        found = files.read(path, file_kinds.STATE)
    except (FileNotFoundError, files.NotPlain):
        found = b""
    if len(found) == BYTES:
        return found
    made = os.urandom(BYTES)
    durable.write(path, made, 0o600)
    return made
