"""The file of a project's owner, as a network disk may show it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardaemon.host import operations, owner_file

pytestmark = pytest.mark.promise("one-owner")


def remembered(monkeypatch: pytest.MonkeyPatch, faults: Iterator[int]) -> None:
    """A disk that shows a name which another host has removed, for as many looks as there are faults."""
    create = operations.create

    def stale(path: Path, flags: int, mode: int) -> int:
        if fault := next(faults, 0):
            number = errno.EEXIST if flags & os.O_EXCL else fault
            raise OSError(number, os.strerror(number), str(path))
        return create(path, flags, mode)

    monkeypatch.setattr(operations, "create", stale)
    monkeypatch.setattr(owner_file, "STALE_S", 0.0)


@pytest.mark.parametrize("fault", owner_file.STALE, ids=["ENOENT", "ESTALE"])
def test_a_name_that_another_host_has_removed_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    remembered(monkeypatch, iter([fault] * 4))
    found = owner_file.opened(tmp_path / ".owner")
    assert found.made
    found.remove()


def test_a_process_that_is_just_being_started_keeps_no_lock(tmp_path: Path) -> None:
    """Until its execve(2) it has a copy of each descriptor."""
    found = owner_file.opened(tmp_path / ".owner")
    copy = os.dup(found.fd)
    found.close()
    again = owner_file.opened(tmp_path / ".owner")
    assert (found.lock, again.lock) == ("free", "free")
    again.close()
    os.close(copy)


def test_one_that_stays_so_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered(monkeypatch, iter([errno.ENOENT] * 99))
    with pytest.raises(OSError, match="again and again"):
        owner_file.opened(tmp_path / ".owner")


def test_a_folder_that_is_gone_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered(monkeypatch, faults := iter([errno.ENOENT] * 9))
    with pytest.raises(FileNotFoundError):
        owner_file.opened(tmp_path / "away" / ".owner")
    assert len(list(faults)) == 7
