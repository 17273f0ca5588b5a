"""Locks that serialise deciding and applying per experiment."""

from pathlib import Path
from weakref import WeakValueDictionary

import anyio


class Locks:
    """One lock per experiment; everything that changes its files holds it. One for a project's chain, too."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    def of(self, folder: Path) -> anyio.Lock:
        """Return the lock of the experiment, or the project's experiments, in that folder."""
        lock = self._locks.get(str(folder))
        if lock is None:
            lock = self._locks[str(folder)] = anyio.Lock(fast_acquire=True)
        return lock
