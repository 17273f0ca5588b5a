"""A look into the daemon's process. Its files in /proc are root's (host/core_files.py)."""

import os
from pathlib import Path

import pytest


def into(pid: int) -> Path:
    """The folder in /proc of a daemon or a shim; without root's rights the test is skipped."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to look into the daemon")
    return Path(f"/proc/{pid}")
