"""File systems of a test's own, in memory."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, kind: str, *options: str) -> Iterator[None]:
    """Mount a file system of that kind over the folder; the test is skipped where nobody may."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount")
    asked = ["mount", "-t", kind, *(["-o", ",".join(options)] if options else []), "test", str(folder)]
    done = subprocess.run(asked, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
