"""A cgroup of a test's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ardaemon.host import cgroup


@contextmanager
def own_cgroup(name: str) -> Iterator[Path]:
    """Make a cgroup v2 beside the test's processes, and remove it; skip the test where none can be made."""
    folder = Path(cgroup.own(""), name)
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no writable cgroup v2: {error.strerror}")
    try:
        yield folder
    finally:
        cgroup.remove(str(folder))
