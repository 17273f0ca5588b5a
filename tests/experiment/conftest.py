"""Experiments that have runs already."""

from pathlib import Path

import pytest

from ardaemon.core.layout import Experiment
from tests.support.folders import experiment
from tests.support.runs import start, tried


@pytest.fixture
def made(tmp_path: Path) -> Experiment:
    """Three committed runs, of which the second is the best."""
    found = experiment(tmp_path)
    start(found)
    for value in (1.0, 0.5, 0.8):
        tried(found, value)
    return found
