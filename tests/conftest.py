"""Fixtures that all tests share."""

import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support import lab as labs

# How long an example takes, or to be made, says how busy the machine is, and nothing of the code.
hypothesis.settings.register_profile(
    "ours", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("ours")

# Whoever starts us in the background (nohup, `&` in a script) has us ignore these, and every client that a
# test starts would too. A handler that does nothing is reset by execve(2): so we do, and they do not.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Collect no garbage while thousands of tests come into being, none of which is any."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage among what the tests make alone: modules and tests live to the end."""
    gc.enable()
    gc.freeze()


@pytest.fixture
def lab() -> Iterator[labs.Lab]:
    """A private world: folders, environment, and what is needed to boot a real daemon in it."""
    world = labs.make()
    try:
        yield world
    finally:
        world.close()
