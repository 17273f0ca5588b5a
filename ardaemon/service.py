"""Keep systemd informed: that the event loop turns, and what is at work."""

import anyio

from ardaemon.host.notify import Manager
from ardaemon.queue.board import Board

BEATS = 2  # signs of life per watchdog time, as sd_watchdog_enabled(3) advises
STATUS_S = 60.0  # without a watchdog: a change that wakes nobody is shown this late


async def keep_told(manager: Manager, board: Board) -> None:
    """Give a sign of life in time, and show what is at work when it has changed.

    A task of the event loop and not a thread: a daemon whose loop hangs serves nobody, and must not look
    alive.
    """
    while manager.address:
        changed = board.changed
        manager.alive()
        manager.status(status(board))
        with anyio.move_on_after(manager.watchdog_s / BEATS if manager.watchdog_s else STATUS_S):
            await changed.wait()


def status(board: Board) -> str:
    """Return what is at work and what waits, for `systemctl status`."""
    waiting = sum(board.placement.is_waiting(flight) for flight in board.flights.values())
    return f"runs: {len(board.flights) - waiting} at work, {waiting} waiting"
