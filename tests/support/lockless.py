"""Mount a real file system without working locks (lockless.c), as NFS without lockd is one."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import pytest

from tests.support.compiler import build
from tests.support.lab import wait_until

SOURCE = Path(__file__).with_suffix(".c")
# none: flock(2) fails with ENOLCK. own: each mount has its own locks, which no other mount sees.
Locks = Literal["none", "own"]


@contextmanager
def mounted(shown: Path, folder: Path, locks: Locks) -> Iterator[None]:
    """Show the folder `shown` at `folder`; the test is skipped where that is not possible."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("needs root and /dev/fuse for a file system without locks")
    for needed in (shown, folder):
        needed.mkdir(mode=0o700, exist_ok=True)
    program = shown.with_name(f"{shown.name}-{folder.name}")
    program.write_bytes(_built())
    program.chmod(0o700)
    asked = [program, shown, locks, folder, "-f", "-s", "-o", "allow_other,default_permissions"]
    with subprocess.Popen(asked, stderr=subprocess.DEVNULL) as server:
        wait_until(lambda: os.path.ismount(folder) or server.poll(), f"{folder} to be mounted")
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
            server.terminate()  # also while somebody still has a file open


@cache
def _built() -> bytes:
    """Return the program, built once."""
    asked = ["pkg-config", "--cflags", "--libs", "fuse3"]
    if shutil.which("pkg-config") is None or subprocess.run(asked, capture_output=True).returncode != 0:
        pytest.skip("needs pkg-config and libfuse3-dev for a file system without locks")
    flags = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    with tempfile.TemporaryDirectory() as name:
        target = Path(name, "lockless")
        build("-O1", "-Wall", "-Wextra", "-Werror", "-o", target, SOURCE, *flags)
        return target.read_bytes()
