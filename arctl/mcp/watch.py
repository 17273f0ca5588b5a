"""Waits for a run, and tells the client meanwhile how it goes."""

import time

from anyio import get_cancelled_exc_class

from arctl.base import NOT_LAUNCHED
from arctl.dial import Answer
from arctl.mcp import progress
from arctl.mcp.outcomes import line
from arctl.mcp.place import Place, Threads
from arctl.mcp.progress import Progress


class Watch:
    """One call that waits for one run, until `deadline` (time.monotonic)."""

    def __init__(self, threads: Threads, place: Place, told: Progress, deadline: float) -> None:
        self._threads, self._place, self._progress, self._deadline = threads, place, told, deadline

    async def follow(self, run_id: str) -> Answer:
        """Return the run as it stands when it is committed, or when the time is over."""
        view = await self._until("launched", run_id)
        if view["state"] in NOT_LAUNCHED or view.get("result") is not None:
            return view
        await self._progress.tell(line(view))
        return await self._until("committed", run_id)

    async def _until(self, until: str, run_id: str) -> Answer:
        """Wait in pieces: one ends with the run's next state, or when progress is due."""
        while True:
            piece = min(self._deadline, time.monotonic() + progress.PROGRESS_S)
            asked = {"run_id": run_id, "until": until}
            try:
                view = await self._threads.ask(self._place, "run.wait", deadline=piece, **asked)
            except get_cancelled_exc_class():  # all clients share the daemon's connections
                self._place.client.leave()
                raise
            if _reached(view, until) or time.monotonic() >= self._deadline:
                return view
            await self._progress.tell(line(view))


def _reached(view: Answer, until: str) -> bool:
    launched = until == "launched" and view["state"] not in NOT_LAUNCHED
    return launched or view.get("result") is not None
