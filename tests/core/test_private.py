"""Folders that are the user's alone, and who could put another one in their place."""

import os
import stat
from pathlib import Path

import pytest

from ardaemon.core.errors import StorageError
from ardaemon.core.private import private_folder


@pytest.mark.promise("socket-private")
@pytest.mark.parametrize("mask", [0, 0o777])
def test_a_private_folder_has_mode_0700_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        folder = private_folder(tmp_path / "private")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert private_folder(folder) == folder


@pytest.mark.promise("socket-private")
@pytest.mark.parametrize("mode", [0o701, 0o710, 0o750, 0o755, 0o777, 0o1777])
def test_a_folder_that_others_can_enter_is_refused_and_left_as_it_is(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StorageError) as caught:
        private_folder(folder)
    assert str(folder) in caught.value.message
    assert stat.S_IMODE(folder.stat().st_mode) == mode


@pytest.mark.promise("socket-private")
def test_a_symlink_to_a_private_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("link", "dangling"):
        with pytest.raises(StorageError):
            private_folder(tmp_path / name)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.promise("socket-private")
def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o600)
    with pytest.raises(StorageError):
        private_folder(tmp_path / "file")


@pytest.mark.promise("socket-private")
def test_a_folder_of_another_user_is_refused() -> None:
    """/proc/1 belongs to root, /proc/self to us; where we are root, a folder is given away instead."""
    if os.getuid() != 0:
        with pytest.raises(StorageError):
            private_folder(Path("/root"))
        return
    folder = Path(os.path.realpath(os.environ.get("TMPDIR", "/tmp"))) / f"ar-foreign-{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        os.chown(folder, 65534, 65534)
        with pytest.raises(StorageError):
            private_folder(folder)
    finally:
        folder.rmdir()
