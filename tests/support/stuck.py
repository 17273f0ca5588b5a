"""A real uninterruptible sleep: a filesystem that takes one request and never answers it (fuse(4)).

Who waits for the answer cannot be killed until the filesystem goes, and that goes with its descriptor: if
the test dies, so does whoever waits. Needs root and /dev/fuse.
"""

import ctypes
import os
import select
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.lab import DEADLINE_S

MNT_DETACH = 2  # sys/mount.h
MS_NOSUID_NODEV = 2 | 4
HEADER = struct.Struct("<IIQQIIII")  # linux/fuse.h: fuse_in_header
INIT, OUT = 26, struct.Struct("<IiQ")
INIT_OUT = struct.Struct("<IIIIHHIIHHI28x")


class Stuck:
    """The filesystem; whoever opens `file` hangs."""

    def __init__(self, folder: Path) -> None:
        """Mount it on the folder; what is there is covered until release()."""
        folder.mkdir(exist_ok=True)
        self.folder, self.file = folder, folder / "file"
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0".encode()
        if self.libc.mount(b"stuck", os.fsencode(folder), b"fuse", MS_NOSUID_NODEV, options) != 0:
            code = ctypes.get_errno()
            os.close(self.fd)
            raise OSError(code, os.strerror(code), str(folder))
        request = self._request()
        _, opcode, unique, *_ = HEADER.unpack_from(request)
        assert opcode == INIT
        body = INIT_OUT.pack(7, 31, 65536, 0, 12, 9, 4096, 1, 0, 0, 0)
        os.write(self.fd, OUT.pack(OUT.size + len(body), 0, unique) + body)

    def _request(self) -> bytes:
        assert select.select([self.fd], [], [], DEADLINE_S)[0], "a request"
        return os.read(self.fd, 1 << 20)

    def caught(self) -> int:
        """Wait until somebody opens the file: its pid. Then nobody else can come by."""
        while True:
            request = self._request()
            _, _, _, _, _, _, pid, _ = HEADER.unpack_from(request)
            if pid:
                self.libc.umount2(os.fsencode(self.folder), MNT_DETACH)
                return int(pid)

    def release(self) -> None:
        """The filesystem goes; who waited gets an error."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.libc.umount2(os.fsencode(self.folder), MNT_DETACH)


@contextmanager
def stuck(folder: Path) -> Iterator[Stuck]:
    """One of them, gone at the end."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("needs root and /dev/fuse for a process in uninterruptible sleep")
    made = Stuck(folder)
    try:
        yield made
    finally:
        made.release()
