"""Killed at any moment, an installation leaves the old folder or the new one; the next one mends the rest."""

import errno
import os
from pathlib import Path

import pytest

from arctl.skill import copying, settings
from ardaemon.host import operations
from tests.support.runs import killed_at

OLD = {"SKILL.md": b"old", "hooks/a.py": b"old", ".ardaemon.json": b"old"}
NEW = {"SKILL.md": b"new", "hooks/b.py": b"new", ".ardaemon.json": b"new"}
STEPS_MAX = 200


def files(folder: Path) -> dict[str, bytes] | None:
    """What lies in a folder; None if it is not there."""
    if not folder.exists():
        return None
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def installed(folder: Path, tree: dict[str, bytes]) -> None:
    with copying.locked(str(folder)):
        copying.mend(str(folder))
        copying.put(str(folder), tree)


@pytest.fixture(params=[True, False], ids=["exchange", "no exchange"])
def exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the filesystem can exchange two names; NFS cannot."""

    def cannot(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    if not request.param:
        monkeypatch.setattr(operations, "exchange", cannot)
    return bool(request.param)


@pytest.mark.parametrize("before", [None, OLD], ids=["first", "upgrade"])
def test_a_kill_leaves_the_old_or_the_new_folder(
    tmp_path: Path, exchange: bool, before: dict[str, bytes] | None
) -> None:
    """Without an exchange it may be away for a moment: then the next installation finds the old one."""
    for step in range(1, STEPS_MAX):
        folder = tmp_path / str(step) / "skills/autoresearch"
        if before is not None:
            installed(folder, before)
        if not killed_at(step, lambda folder=folder: installed(folder, NEW)):  # type: ignore[misc]
            assert step > 10
            break
        away = not exchange and before is not None
        assert files(folder) in (before, NEW, *([None] if away else []))
        copying.mend(str(folder))
        assert files(folder) in (before, NEW)
        installed(folder, NEW)
        assert files(folder) == NEW
        assert os.listdir(folder.parent) == ["autoresearch"]
    else:
        pytest.fail("it never ends")


@pytest.mark.parametrize("operation", ["create", "write", "fsync", "rename", "exchange"])
def test_a_disk_error_leaves_the_old_folder_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    folder = tmp_path / "skills/autoresearch"
    installed(folder, OLD)

    def full(name: str, *_: object) -> None:
        if name == operation:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(operations, "hook", full)
    with pytest.raises(OSError, match="No space left"):
        installed(folder, NEW)
    assert files(folder) == OLD
    assert os.listdir(folder.parent) == ["autoresearch"]


def test_a_kill_leaves_the_folder_or_nothing_when_it_is_removed(tmp_path: Path) -> None:
    for step in range(1, STEPS_MAX):
        folder = tmp_path / str(step) / "autoresearch"
        installed(folder, OLD)
        if not killed_at(step, lambda folder=folder: copying.take_away(str(folder))):  # type: ignore[misc]
            break
        assert files(folder) in (OLD, None)
        copying.mend(str(folder))
        assert os.listdir(folder.parent) in (["autoresearch"], [])
    assert step > 3


def test_a_kill_leaves_old_or_new_settings(tmp_path: Path) -> None:
    for step in range(1, STEPS_MAX):
        file = tmp_path / str(step) / "settings.json"
        file.parent.mkdir()
        file.write_text("{}\n")
        change = settings.with_items(str(file), "why", [(("a",), "b")])
        assert change is not None
        if not killed_at(step, lambda change=change: settings.apply(change)):  # type: ignore[misc]
            break
        assert file.read_text() in (change.before, change.after)
    assert step > 5


def test_settings_that_change_after_the_diff_was_shown_stay(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text("{}\n")
    change = settings.with_items(str(file), "why", [(("a",), "b")])
    assert change is not None
    file.write_text('{"mine": 1}\n')
    with pytest.raises(Exception, match="was changed in the same moment"):
        settings.apply(change)
    assert file.read_text() == '{"mine": 1}\n'
