"""The entry of a committed run stays until the next launch has its own, or too long is too long."""

from pathlib import Path

import pytest

from ardaemon.queue import handing_over
from ardaemon.queue.handing_over import HAND_OVER_S, HandingOver


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    path = tmp_path / "r0001.json"
    path.write_text("{}")
    return path


def test_an_entry_stays_as_long_as_a_launch_may_follow_at_once_and_goes_then(entry: Path) -> None:
    handing = HandingOver()
    assert handing.settle(follows=True) is None, "there is nothing to look at again"
    handing.add(entry)
    again_in = handing.settle(follows=True)
    assert again_in is not None
    assert 0 < again_in <= HAND_OVER_S
    assert entry.exists()
    assert handing.settle(follows=False) is None
    assert not entry.exists()


def test_an_entry_goes_in_any_case_after_a_while(entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handing_over, "HAND_OVER_S", 0.0)
    handing = HandingOver()
    handing.add(entry)
    assert handing.settle(follows=True) is None
    assert not entry.exists()


def test_an_entry_that_is_gone_already_is_no_fault(entry: Path) -> None:
    handing = HandingOver()
    handing.add(entry)
    entry.unlink()
    assert handing.settle(follows=False) is None
