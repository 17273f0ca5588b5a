"""Waits until something changes in a folder, by inotify(7), without a thread.

watchfiles (host/follow.py) wakes its thread twenty times a second, and whoever ends it waits for that thread.
That is right for a log while its run is at work, and too much for a file that changes once a month.
"""

import ctypes
import os
from collections.abc import Collection
from pathlib import Path

import anyio

# inotify(7): what an editor does to a file that it saves, and what a person does to a folder.
_CHANGED = 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800  # IN_ATTRIB … IN_MOVE_SELF, without MODIFY
_ONLYDIR = 0x01000000
_EVENTS_MAX = 1 << 16  # bytes of events that are read at once; nobody looks at them


class FolderEvents:
    """A watch on folders. What happens from its making on is not missed; close() ends it."""

    def __init__(self, folders: Collection[Path]) -> None:
        """Watch these folders; one that is not there is left out. Raises OSError if none can be watched."""
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise _error()
        watches = [libc.inotify_add_watch(self.fd, os.fsencode(f), _CHANGED | _ONLYDIR) for f in folders]
        if not any(watch >= 0 for watch in watches):
            error = _error()
            self.close()
            raise error

    async def changed(self) -> None:
        """Wait until something has changed since the last call."""
        await anyio.wait_readable(self.fd)
        os.read(self.fd, _EVENTS_MAX)

    def close(self) -> None:
        """Watch no more."""
        os.close(self.fd)


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
