"""The name under which one attempt's output is found again in what is shared with others."""

import hashlib
import re
from pathlib import Path

_HASH_LENGTH = 8  # hexadecimal digits: 1 of 4 billion that two experiments' r0001 are taken for one
_OTHER = re.compile(r"[^A-Za-z0-9_.-]")


def name(run_folder: Path, run_id: str) -> str:
    """A name for the attempt `run_id` ("r0043-a2") that no run of another experiment or machine has.

    Letters, digits, `_.-`: legal as wandb's run id (not `:;,#?/'`), as a file's name, in a glob.
    """
    return f"{_OTHER.sub('-', run_id)}-{_origin(run_folder)}"


def ours(found: str, run_folder: Path) -> bool:
    """Was this name made here, for a run in this folder?"""
    return found.endswith(f"-{_origin(run_folder)}")


def _origin(run_folder: Path) -> str:
    return hashlib.sha256(str(run_folder).encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_LENGTH]
