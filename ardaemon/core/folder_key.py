"""A short name for a folder, for files about it that lie elsewhere."""

import hashlib
import os
from pathlib import Path

DIGITS = 16  # hexadecimal: 64 bits of SHA-256


def folder_key(folder: Path) -> str:
    """Return the name: it tells experiments and attempts of all projects apart."""
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:DIGITS]
