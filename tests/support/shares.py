"""In which order the tests are run, and what one worker of pytest-xdist gets at a time.

Tests that take many seconds come first and are given out one by one; those that take milliseconds come last,
a file at a time. So every worker has work to the end, and what a file's tests share is made once or twice.

Loaded by pyproject.toml (`-p tests.support.shares`).
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Folders below tests/ with tests that take seconds: daemons, a browser, simulated nights, waits for a limit.
LONG = (
    "torture",
    "soak",
    "watch",
    "integration",
    "skill",
    "mcp",
    "arctl",
    "fuzz",
    "report",
    "judging",
    "rpc",
)
ALONE = ("torture", "soak", "frameworks")  # each test of these is a share of its own
SHARE_MAX = 24  # tests of one file; more are several shares


def folder(nodeid: str) -> str:
    """Return the folder below tests/ in which a test lies."""
    return nodeid.partition("/")[2].partition("/")[0]


def rank(nodeid: str) -> int:
    """Return when a test's turn comes: the smallest number is the first."""
    place = folder(nodeid)
    return LONG.index(place) if place in LONG else len(LONG)


def shares(nodeids: Iterable[str]) -> dict[str, str]:
    """Return the name of the share that each test belongs to."""
    numbers: Counter[str] = Counter()
    found = {}
    for nodeid in nodeids:
        file = nodeid.partition("::")[0]
        found[nodeid] = f"{file} {numbers[file] // (1 if folder(nodeid) in ALONE else SHARE_MAX)}"
        numbers[file] += 1
    return found


class ByShares(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist ships no types
    """Give out the shares in the order of their tests."""

    def schedule(self) -> None:
        """Cut the tests into shares once all workers have collected them."""
        if self.collection is None:
            self.config.option.loadscopereorder = False
            self.share_of = shares(next(iter(self.registered_collections.values())))
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self.share_of[nodeid]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long tests first; files and their tests stay in their order."""
    items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByShares | None:
    """Have our scheduler where `-n` alone is given, and no other `--dist`."""
    return ByShares(config, log) if config.getoption("dist") == "load" else None
