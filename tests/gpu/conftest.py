"""What a real card's tests share. They are left out of `make test`; `make test-gpu` runs them."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.support import lab as labs
from tests.support.lab import Lab

# The interpreter of an environment with a CUDA build of torch; the jobs run in that.
PYTHON = os.environ.get("GPU_PYTHON", shutil.which("python3") or "python3")


@pytest.fixture
def card() -> Iterator[Lab]:
    """A daemon on this machine's own driver, and a session whose jobs have torch."""
    world = labs.make()
    try:
        world.start()
        inventory = world.call("gpu.list")
        if inventory["state"] != "ok" or not inventory["gpus"]:
            pytest.skip(f"no NVIDIA GPU: {inventory['why']}")
        world.init()
        yield world
    finally:
        world.close()
