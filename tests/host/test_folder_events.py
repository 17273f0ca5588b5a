"""A watch on folders tells each change, and misses none that came before somebody waited."""

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from ardaemon.host.folder_events import FolderEvents

SOON_S = 10.0


def save(path: Path) -> None:
    path.write_text("grace = 1\n")


def replaced(path: Path) -> None:
    path.with_suffix(".new").write_text("grace = 1\n")
    path.with_suffix(".new").rename(path)


def removed(path: Path) -> None:
    path.unlink()


def closed(path: Path) -> None:
    path.chmod(0)


def linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


def folder_removed(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


@pytest.mark.parametrize("change", [save, replaced, removed, closed, linked, folder_removed])
def test_a_change_is_told_though_nobody_waited_yet(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    save(folder / "config.toml")

    async def story() -> None:
        events = FolderEvents([folder, tmp_path / "none"])
        change(folder / "config.toml")
        with anyio.fail_after(SOON_S):
            await events.changed()
        events.close()

    anyio.run(story)


def test_who_waits_in_vain_is_cancelled_at_once_and_leaves_no_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))

    async def story() -> None:
        events = FolderEvents([tmp_path])
        with anyio.move_on_after(0.01) as scope:
            await events.changed()
        assert scope.cancelled_caught
        events.close()

    anyio.run(story)
    assert len(os.listdir("/proc/self/fd")) <= before  # fewer, where an earlier test's are collected now


def test_folders_that_are_all_gone_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FolderEvents([tmp_path / "none"])
