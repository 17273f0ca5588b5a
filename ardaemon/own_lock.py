"""Ends a daemon whose lock was removed, as with its state folder, once its runs are over.

Its active entries may be gone too, so it can take no further run, and another daemon may start beside it.
What it has begun it brings to its end, for no other daemon knows of that.
"""

import logging
from pathlib import Path

import anyio
import anyio.to_thread

from ardaemon.core.layout import Host
from ardaemon.host import file_lock
from ardaemon.host.folder_events import FolderEvents
from ardaemon.queue.board import Board

SETTLE_S = 1.0  # a folder may be put back at once; and who has waited for the last run gets its answer
UNWATCHED_S = 60.0  # between two looks where the kernel tells nothing: nobody waits for it

log = logging.getLogger("ardaemon.daemon")


async def until_lost(host: Host, board: Board) -> None:
    """Return once the lock is not in its place any more, and no run is on the board."""
    ours = await _inode(host.lock)
    while True:
        changed = board.changed
        is_lost = await _inode(host.lock) != ours
        if is_lost and not board.flights:
            log.warning("the lock was removed", extra={"facts": {"lock": str(host.lock)}})
            return
        if is_lost:
            await changed.wait()
        else:
            await _until_changed(host, ours)
        await anyio.sleep(SETTLE_S)


async def _until_changed(host: Host, ours: tuple[int, int] | None) -> None:
    """Wait until something happens in the state folder, or to it, since the lock was `ours`."""
    try:
        events = FolderEvents((host.state, host.state.parent))
    except OSError:  # both are away, or the kernel gives no watch
        return await anyio.sleep(UNWATCHED_S)
    try:
        if await _inode(host.lock) == ours:  # watched by now: no change is missed
            await events.changed()
    finally:
        events.close()


async def _inode(path: Path) -> tuple[int, int] | None:
    return await anyio.to_thread.run_sync(file_lock.inode, path)
