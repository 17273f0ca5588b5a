"""A secret of the user's on this machine, that is in no project and in no job's environment."""

import contextlib
import logging
import os
from pathlib import Path

from ardaemon.core import file_kinds, files
from ardaemon.host import durable

BYTES = 32  # nobody guesses 256 bits
MADE_MAX = 3  # tries: each ends with a whole key, unless somebody breaks it in the same moment

log = logging.getLogger("ardaemon.secret")


def key(path: Path, ends: str) -> bytes:
    """Return the key in the file `path`, which is made if there is none.

    A broken key is put aside, with a warning that says what `ends` with it. Of processes that make the key at
    the same time, on machines that share the folder too, all return the same one. Raises OSError.
    """
    for _ in range(MADE_MAX):
        found = _read(path)
        if found is not None and len(found) == BYTES:
            return found
        if found is not None:
            _put_aside(path, ends)
        # Gone meanwhile: a daemon that starts on another machine has swept it away.
        with contextlib.suppress(FileNotFoundError):
            durable.write_new(path, os.urandom(BYTES), 0o600)
    raise OSError(f"{path} is no key of {BYTES} bytes, however often it is made: remove it")


def is_whole(path: Path) -> bool:
    """Tell whether a key stands at the path. Raises OSError."""
    return len(_read(path) or b"") == BYTES


def _read(path: Path) -> bytes | None:
    """Return what stands at the path; None if nothing does, and no bytes if it is no plain file."""
    try:
        return files.read(path, file_kinds.STATE)
    except FileNotFoundError:
        return None
    except files.NotPlain:
        return b""


def _put_aside(path: Path, ends: str) -> None:
    aside = path.with_name(f"{path.name}.broken")
    facts = {
        "key": str(path),
        "kept": str(aside),
        "why": f"it is no plain file of {BYTES} bytes",
        "ends": ends,
    }
    log.warning("the key is broken, and a new one takes its place", extra={"facts": facts})
    durable.rename(path, aside)
