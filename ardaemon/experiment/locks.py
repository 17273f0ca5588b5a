"""Deciding and applying are serialised per experiment."""

from pathlib import Path
from weakref import WeakValueDictionary

import anyio


class Locks:
    """One lock per experiment, for everything that changes its files."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    def of(self, folder: Path) -> anyio.Lock:
        """The lock of that experiment's folder."""
        lock = self._locks.get(str(folder))
        if lock is None:
            lock = self._locks[str(folder)] = anyio.Lock()
        return lock
