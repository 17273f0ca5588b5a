"""Follows a file that grows, and folders that change, by the kernel's notifications."""

import os
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import NamedTuple

import anyio
import watchfiles

from ardaemon.core import file_kinds, files
from ardaemon.host import holes

CHUNK = 1 << 16
# The watcher yields when nothing more came for STEP_MS, or after DEBOUNCE_MS of steady writing.
STEP_MS = 50
DEBOUNCE_MS = 200
# A watcher does not see what was written between the first look and its start: this often it looks without a
# notification. A watcher that was cancelled ends by then at the latest, too.
BACKSTOP_MS = 1000


class Piece(NamedTuple):
    """A part of a file, and where it begins: later than was asked for if a hole is passed over."""

    begin: int
    data: bytes

    @property
    def end(self) -> int:
        """Return where the next piece begins."""
        return self.begin + len(self.data)


async def appended(path: Path, start: int = 0) -> AsyncIterator[Piece]:
    """Yield `path` from offset `start` on, piece by piece, without end. The file may be created later.

    Cancel the caller's scope to end it.
    """
    offset = start
    async for piece in _new(path, offset):
        offset = piece.end
        yield piece
    async for _ in watchfiles.awatch(
        path.parent,
        recursive=False,
        step=STEP_MS,
        debounce=DEBOUNCE_MS,
        rust_timeout=BACKSTOP_MS,
        yield_on_timeout=True,
    ):
        async for piece in _new(path, offset):
            offset = piece.end
            yield piece


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


async def _new(path: Path, offset: int) -> AsyncIterator[Piece]:
    while True:
        piece = await anyio.to_thread.run_sync(read_at, path, offset)
        if not piece.data:
            return
        offset = piece.end
        yield piece


def read_at(path: Path, offset: int, kind: file_kinds.Kind = file_kinds.LOG) -> Piece:
    """Return up to CHUNK bytes from `offset` on; none if the file is missing, unreadable or shorter.

    Nothing of a hole is returned: it takes no disk space, and may be larger than any disk.
    """
    try:
        fd = files.descriptor(path, kind)
    except OSError:
        return Piece(offset, b"")
    try:
        return _data(fd, offset)
    finally:
        os.close(fd)


def _data(fd: int, offset: int) -> Piece:
    while True:
        begin = holes.data_after(fd, offset)
        data = os.pread(fd, CHUNK, begin)
        # Asked after the reading: what has become a hole meanwhile was read as NUL.
        kept = data[: max(holes.hole_after(fd, begin) - begin, 0)]
        if kept or not data:
            return Piece(begin if kept else offset, kept)
        offset = begin
