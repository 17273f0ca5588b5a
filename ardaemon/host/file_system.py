"""Tells whether another machine may have a folder, and how old a file is by its file system's clock."""

import os
from pathlib import Path

from ardaemon.host import durable, operations

# File systems that one machine mounts at a time. Any other (NFS, SMB, FUSE, 9p, Lustre, …) may be on others.
LOCAL = frozenset(
    "bcachefs btrfs ext2 ext3 ext4 exfat f2fs jfs overlay ramfs reiserfs tmpfs vfat xfs zfs".split()
)
MOUNTS = Path("/proc/self/mountinfo")  # proc(5)
_ESCAPED = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def is_local(folder: Path) -> bool:
    """Tell whether no other machine can have the folder. Raises OSError."""
    return kind(MOUNTS.read_text(errors="surrogateescape"), os.path.realpath(folder)) in LOCAL


def kind(mounts: str, folder: str) -> str:
    """Return the type of the file system in which the folder lies, "" if no mount holds it."""
    best, found = "", ""
    for line in mounts.splitlines():
        mount, _, rest = line.partition(" - ")
        point = mount.split()[4]
        for code, character in _ESCAPED.items():
            point = point.replace(code, character)
        inside = f"{folder}/".startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two mounts at one place the later one is seen
            best, found = point, rest.split()[0]
    return found


def age_s(path: Path) -> float:
    """Return how long ago the file was written, in seconds. Raises OSError.

    The clock is the file system's own, that of its server: it is asked by a file that is made and removed. So
    it does not matter whether the clocks of two machines agree.
    """
    probe = durable.temporary_name(path)
    fd = operations.create(probe, os.O_EXCL, 0o600)
    try:
        return os.fstat(fd).st_mtime - os.stat(path, follow_symlinks=False).st_mtime
    finally:
        os.close(fd)
        durable.remove(probe)
