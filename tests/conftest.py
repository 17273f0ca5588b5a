"""Fixtures that all tests share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support import lab as labs


@pytest.fixture
def lab() -> Iterator[labs.Lab]:
    """A private world: folders, environment, and what is needed to boot a real daemon in it."""
    world = labs.make()
    try:
        yield world
    finally:
        world.close()
