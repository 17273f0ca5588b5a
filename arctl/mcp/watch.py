"""Waits for a run, and tells the client meanwhile how it goes."""

import time
from collections.abc import Awaitable
from typing import Any, TypeVar

from anyio import create_task_group, sleep
from mcp.server.mcpserver import Context

from arctl.base import NOT_LAUNCHED
from arctl.dial import Answer
from arctl.mcp.outcomes import progress
from arctl.mcp.place import Place, Threads
from ardaemon.core.errors import ArdaemonError

T = TypeVar("T")

# A progress notification is sent at least so often: clients give a silent call up after 30 s and more, and
# each notification carries what the daemon knows at that moment.
PROGRESS_S = 15.0


class Watch:
    """One call that waits for one run, until `deadline` (time.monotonic)."""

    def __init__(self, threads: Threads, place: Place, context: Context[Any, Any], deadline: float) -> None:
        self._threads, self._place, self._context, self._deadline = threads, place, context, deadline
        self._begun = time.monotonic()

    async def follow(self, run_id: str | None) -> Answer:
        """Return the run as it stands when it is committed, or when the time is over."""
        view = await self._until("launched", run_id)
        if view["state"] in NOT_LAUNCHED or view.get("result") is not None:
            return view
        await self._tell(view)
        return await self._until("committed", str(view["run_id"]))

    async def _until(self, until: str, run_id: str | None) -> Answer:
        """Wait in pieces: one ends with the run's next state, or when progress is due."""
        while True:
            piece = min(self._deadline, time.monotonic() + PROGRESS_S)
            asked = {"run_id": run_id, "until": until}
            view = await self._threads.ask(self._place, "run.wait", deadline=piece, **asked)
            if _reached(view, until) or time.monotonic() >= self._deadline:
                return view
            run_id = str(view["run_id"])  # the latest may soon be another
            await self._tell(view)

    async def _tell(self, view: Answer) -> None:
        await report(self._context, self._begun, progress(view))


def _reached(view: Answer, until: str) -> bool:
    launched = until == "launched" and view["state"] not in NOT_LAUNCHED
    return launched or view.get("result") is not None


async def report(context: Context[Any, Any], begun: float, message: str) -> None:
    """Send a progress notification, if the client has asked for them; the number is in seconds and rises."""
    await context.report_progress(round(time.monotonic() - begun, 3), None, message)


async def beating(context: Context[Any, Any], what: str, work: Awaitable[T]) -> T:
    """Await `work`, which says nothing itself, and send progress notifications meanwhile."""
    begun = time.monotonic()

    async def beat() -> None:
        while True:
            await sleep(PROGRESS_S)
            await report(context, begun, what)

    async with create_task_group() as tasks:
        tasks.start_soon(beat)
        done = await outcome_of(work)
        tasks.cancel_scope.cancel()
    if isinstance(done, ArdaemonError):  # raised here, for the task group would wrap it
        raise done
    return done


async def outcome_of(work: Awaitable[T]) -> T | ArdaemonError:
    """Return what the work returns, or the error that it raises."""
    try:
        return await work
    except ArdaemonError as error:
        return error
