"""Fixtures of the tests that ask NVML."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.support.nvml import FakeGpus
from tests.support.nvml.asked import Asked


@pytest.fixture
def fake(tmp_path: Path) -> FakeGpus:
    """Two GPUs, idle."""
    made = FakeGpus(tmp_path / "gpus")
    made.gpu(0, total=80000)
    made.gpu(1, total=24000)
    made.write()
    return made


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def asked(portal: BlockingPortal, fake: FakeGpus) -> Iterator[Asked]:
    found = Asked(portal, fake)
    yield found
    portal.call(found.nvml.stop)
    assert not found.workers
