"""Tells the client of a call that something goes on: clients give up a call that says nothing."""

import time
from collections.abc import Awaitable
from typing import Any, TypeVar

from anyio import create_task_group, sleep
from mcp.server.mcpserver import Context

from ardaemon.core.errors import ArdaemonError

T = TypeVar("T")
# A notification goes out at least so often: clients give a silent call up after 30 s and more, and each one
# carries what the daemon knows at that moment.
PROGRESS_S = 15.0


class Progress:
    """The notifications of one call; their number is in seconds since it began, and so it rises."""

    def __init__(self, context: Context[Any, Any]) -> None:
        self._context, self._begun = context, time.monotonic()

    async def tell(self, message: str) -> None:
        """Send a notification, if the client has asked for them."""
        await self._context.report_progress(round(time.monotonic() - self._begun, 3), None, message)

    async def beside(self, work: Awaitable[T], message: str) -> T:
        """Await `work`, which says nothing itself, and send `message` meanwhile."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._beat, message)
            done = await _outcome(work)
            tasks.cancel_scope.cancel()
        if isinstance(done, ArdaemonError):  # raised here, for the task group would wrap it
            raise done
        return done

    async def _beat(self, message: str) -> None:
        while True:
            await sleep(PROGRESS_S)
            await self.tell(message)


async def _outcome(work: Awaitable[T]) -> T | ArdaemonError:
    try:
        return await work
    except ArdaemonError as error:
        return error
