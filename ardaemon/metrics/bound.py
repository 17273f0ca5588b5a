"""The name by which one attempt's output is found again in a folder or database that other runs share."""

import hashlib
import re
from pathlib import Path

_HASH_LENGTH = 8  # hexadecimal digits: the r0001 of two experiments get the same name once in 4 billion
_OTHER = re.compile(r"[^A-Za-z0-9_.-]")


def name(run_folder: Path, run_id: str) -> str:
    """Return a name for the attempt `run_id` ("r0043-a2") that no run of another experiment or machine has.

    It consists of letters, digits and `_.-`, so it is legal as wandb's run id (without `:;,#?/'`), as a
    file's name and in a glob.
    """
    return f"{_OTHER.sub('-', run_id)}-{_origin(run_folder)}"


def ours(attempt_name: str, run_folder: Path) -> bool:
    """Return whether name() made this name for a run in this folder."""
    return attempt_name.endswith(f"-{_origin(run_folder)}")


def _origin(run_folder: Path) -> str:
    return hashlib.sha256(str(run_folder).encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_LENGTH]
