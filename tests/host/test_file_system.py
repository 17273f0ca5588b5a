"""Whether another machine may have a folder, and how old a file is."""

import os
from pathlib import Path

import pytest

from ardaemon.host import file_system

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /home rw - nfs4 server:/home rw,vers=4.2
31 30 0:26 / /home/ann/my\\040disk rw - tmpfs tmpfs rw
32 22 0:27 / /mnt rw - fuse.sshfs host:/ rw
33 32 0:28 / /mnt rw - xfs /dev/sdb rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/srv/p", "ext4"),
        ("/home", "nfs4"),
        ("/home/ann/p", "nfs4"),
        ("/homes/p", "ext4"),
        ("/home/ann/my disk/p", "tmpfs"),
        ("/mnt/p", "xfs"),
    ],
)
def test_the_mount_that_is_seen_there_says_what_it_is(folder: str, kind: str) -> None:
    assert file_system.kind(MOUNTS, folder) == kind


def test_a_table_of_mounts_that_names_none_says_nothing() -> None:
    assert file_system.kind("", "/p") == ""


def test_what_the_kernel_keeps_in_memory_is_this_machines() -> None:
    assert file_system.is_local(Path("/dev/shm"))


def test_a_files_age_is_told_by_its_file_system_and_nothing_is_left(tmp_path: Path) -> None:
    file = tmp_path / ".owner"
    file.touch()
    assert 0 <= file_system.age_s(file) < 60
    os.utime(file, (0, file.stat().st_mtime - 1000))
    assert 1000 <= file_system.age_s(file) < 1060
    assert list(tmp_path.iterdir()) == [file]
