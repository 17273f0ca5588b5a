"""Searches are remembered: folders with many files are not looked through again and again."""

import time
from pathlib import Path

import pytest

from ardaemon.core.folders import Unsearched
from ardaemon.metrics import searches
from ardaemon.metrics.own import Mine
from ardaemon.metrics.searches import ONCE, Searches

trust = pytest.mark.promise("trust")

SLOW_S = 0.002


class Counted:
    """A search that counts how often it is made."""

    def __init__(self, error: Unsearched | None = None) -> None:
        self.count, self.error = 0, error

    def __call__(self) -> list[Mine]:
        self.count += 1
        end = time.monotonic() + SLOW_S
        while time.monotonic() < end:
            pass
        if self.error is not None:
            raise self.error
        return []


@pytest.mark.parametrize("fresh_s", [0.0, 1e-9])
def test_an_answer_counts_no_longer_than_it_is_fresh(fresh_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "REST", 0)
    search, memory = Counted(), Searches(fresh_s)
    for _ in range(3):
        memory.ask(("q",), search)
    assert search.count == 3


def test_a_search_that_takes_long_is_made_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "REST", 1e6)
    search, memory = Counted(), Searches(1e-9)
    for _ in range(3):
        memory.ask(("q",), search)
    assert search.count == 1


def test_of_a_run_that_is_over_each_question_is_asked_once_and_so_is_one_that_fails() -> None:
    search, failing, memory = Counted(), Counted(Unsearched("x", "too much")), Searches(ONCE)
    for _ in range(3):
        memory.ask(("q",), search)
        with pytest.raises(Unsearched):
            memory.ask(("failing",), failing)
    assert (search.count, failing.count) == (1, 1)


@trust
def test_more_files_than_can_be_followed_are_none(tmp_path: Path) -> None:
    found = [Mine(tmp_path / name) for name in "abc"]
    assert Searches(ONCE, 3).ask(("*",), lambda: found) == found
    memory = Searches(ONCE, 2)
    with pytest.raises(Unsearched, match=r"\*: 3 files match, more than the 2 that are followed while a run"):
        memory.ask(("*",), lambda: found)
    assert memory.found(9) == []
