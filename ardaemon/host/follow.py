"""Follows a file that grows, and folders that change, by the kernel's notifications."""

import os
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path

import anyio
import watchfiles

from ardaemon.core import file_kinds, files

CHUNK = 1 << 16
# The watcher yields when nothing more came for STEP_MS, or after DEBOUNCE_MS of steady writing.
STEP_MS = 50
DEBOUNCE_MS = 200
# A watcher does not see what was written between the first look and its start: this often it looks without a
# notification. A watcher that was cancelled ends by then at the latest, too.
BACKSTOP_MS = 1000


async def appended(path: Path, start: int = 0) -> AsyncIterator[bytes]:
    """Yield the bytes of `path` from offset `start` on, without end. The file may be created later.

    Cancel the caller's scope to end it.
    """
    offset = start
    async for chunk in _new(path, offset):
        offset += len(chunk)
        yield chunk
    async for _ in watchfiles.awatch(
        path.parent,
        recursive=False,
        step=STEP_MS,
        debounce=DEBOUNCE_MS,
        rust_timeout=BACKSTOP_MS,
        yield_on_timeout=True,
    ):
        async for chunk in _new(path, offset):
            offset += len(chunk)
            yield chunk


async def changes(places: Callable[[], Collection[Path]]) -> AsyncIterator[None]:
    """Yield at once, then whenever a file or folder of `places` may have changed, without end.

    It also yields after BACKSTOP_MS without a change. `places` is called again each time, because what was
    read meanwhile may name others. Cancel the caller's scope to end it.
    """
    yield
    while True:
        watched = await anyio.to_thread.run_sync(places)
        try:
            async for _ in watchfiles.awatch(
                *watched,
                recursive=False,
                step=STEP_MS,
                debounce=DEBOUNCE_MS,
                rust_timeout=BACKSTOP_MS,
                yield_on_timeout=True,
            ):
                yield
                if await anyio.to_thread.run_sync(places) != watched:
                    break
        except FileNotFoundError:  # it was removed since it was named
            await anyio.sleep(BACKSTOP_MS / 1000)
            yield


async def _new(path: Path, offset: int) -> AsyncIterator[bytes]:
    while True:
        chunk = await anyio.to_thread.run_sync(read_at, path, offset)
        if not chunk:
            return
        offset += len(chunk)
        yield chunk


def read_at(path: Path, offset: int, kind: file_kinds.Kind = file_kinds.LOG) -> bytes:
    """Return up to CHUNK bytes from `offset` on; none if the file is missing, unreadable or shorter."""
    try:
        fd = files.descriptor(path, kind)
    except OSError:
        return b""
    try:
        return os.pread(fd, CHUNK, offset)
    finally:
        os.close(fd)
