"""Holes in files: parts that take no disk space. `--max-log` gives the middle of a log back to the disk so.

The file keeps its size and every byte its place, so nobody who writes or reads the file notices. Standard
library alone, for the shim.
"""

import ctypes
import errno
import os

from ardaemon.host import operations

_PUNCH = 0x01 | 0x02  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, linux/falloc.h
# Bytes. A hole begins and ends at a multiple of it, and so of every file system's blocks: of a block that is
# punched in part the file system would only write zeros.
BLOCK = 64 << 10


def punch(fd: int, start: int, end: int) -> None:
    """Give the bytes from `start` to `end` back to the disk; they read as NUL from then on (fallocate(2)).

    Raises OSError: EOPNOTSUPP where the file system cannot do it, as NFS before 4.2.
    """
    operations.at("punch", fd, start, end)
    offset = ctypes.c_int64
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, _PUNCH, offset(start), offset(end - start)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def data_after(fd: int, offset: int) -> int:
    """Return where the data at `offset` or after it begins; the end of the file where there is none."""
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        # ENXIO: nothing but a hole follows. Any other: this file system tells of no holes, and all is data.
        return max(offset, os.fstat(fd).st_size) if error.errno == errno.ENXIO else offset


def hole_after(fd: int, offset: int) -> int:
    """Return where the hole at `offset` or after it begins; the end of the file counts as one."""
    try:
        return os.lseek(fd, offset, os.SEEK_HOLE)
    except OSError:  # as above
        return os.fstat(fd).st_size


def gap(fd: int) -> tuple[int, int] | None:
    """Return the first hole that data follows, as start and end; None if the file has none."""
    at = os.lseek(fd, 0, os.SEEK_CUR)
    try:
        start = hole_after(fd, 0)
        end = data_after(fd, start)
    finally:
        os.lseek(fd, at, os.SEEK_SET)  # whoever reads on through a buffer counts on it
    return (start, end) if start < end < os.fstat(fd).st_size else None
