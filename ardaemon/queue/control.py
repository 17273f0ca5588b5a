"""Write down what is wanted of a run; the loops make it so.

A wish is put into the flight at once, so that whatever is decided next is decided by it, and into the active
entry on disk, so that a daemon that comes after a kill knows it too. Every state answers every wish.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Literal, assert_never

import anyio.abc
import anyio.to_thread
from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.events import EndWanted, LimitPassed
from ardaemon.core.model import Ending, Exit, Limit
from ardaemon.core.run_record import TOO_LATE, Handle, Wanted
from ardaemon.host import state
from ardaemon.pipeline.flight import Flight
from ardaemon.queue.board import Board

log = logging.getLogger("ardaemon.run")


class Control:
    """Take wishes of clients, and of the daemon where a job takes too much or has lost its folder.

    A wish and the end of the job that it is about can come in the same moment, in either order. Two rules
    keep both orders right. A wish is in the flight before anything of it is written, so that whoever decides
    next sees it. And each method answers every state, even where nothing is left to do: the `assert_never`
    has the type checker refuse a new state that is not thought about here.
    """

    def __init__(
        self, board: Board, stop: Callable[[Handle], Awaitable[None]], background: anyio.abc.TaskGroup
    ) -> None:
        """Take wishes for the flights on the board; `stop` asks the engine for an attempt's end."""
        self.board, self.stop, self.background = board, stop, background

    async def cancel(self, flight: Flight, wanted: Literal["cancel", "stop"]) -> None:
        """End the run; `stop`: and its session. On disk when this returns. Raises StorageError.

        A run whose job has ended is judged by what it did all the same: then the wish only keeps it from
        another attempt. But where the session's checks of it are at work, they are ended, and the run is
        interrupted. A run that is judged does not change any more.
        """
        match flight.state:
            case "queued":
                await self._want(flight, wanted)
                # If it has a place by now, its launch is under way, and sees the wish.
                if self.board.placement.is_waiting(flight):
                    self._cancelled(flight)
            case "launching" | "running":
                await self._want(flight, wanted, stop=True)
            case "exited" if flight.checking is not None:
                self._end_checks(flight)
                await self._want(flight, wanted)
            case "exited":
                await self._want(flight, TOO_LATE[wanted])
            case "judged" | "committed":
                pass
            case _:
                assert_never(flight.state)

    async def _want(self, flight: Flight, wanted: Wanted, stop: bool = False) -> None:
        flight.active = replace(flight.active, wanted=_both(flight.active.wanted, wanted))
        if stop:  # before anything is written: the job may be what fills the disk
            # A client that goes away leaves no wish that nobody carries out.
            with anyio.CancelScope(shield=True):
                await self._stop(flight)
        try:
            await self.keep(flight)  # also if it is wanted already: that may not be on disk yet
        finally:
            self.board.wake()  # the scheduler has a run judged that is not wanted any more
        self.board.tell(flight, EndWanted(wanted=wanted))

    def _end_checks(self, flight: Flight) -> None:
        """End the checks of a run: it is interrupted, for what it did is not confirmed yet."""
        assert flight.exit is not None
        assert flight.checking is not None
        flight.end_as(replace(flight.exit, ending="stopped"))
        flight.checking.end()

    def _cancelled(self, flight: Flight, ending: Ending = "cancelled") -> None:
        """End a run that was never launched: the scheduler has it judged."""
        flight.end_as(Exit(ending=ending))
        flight.step("cancelled")
        self.board.wake()

    def give_way(self, flight: Flight) -> None:
        """End a launch on a place that was idle: a run needs that, or nobody can use its value any more."""
        match flight.state:
            case "queued" | "launching" | "running":
                if flight.goes_on():
                    flight.active = replace(flight.active, wanted="give_way")
                    self.background.start_soon(self._give_way, flight)
            case "exited" | "judged" | "committed":
                pass  # its place is free, or about to be
            case _:
                assert_never(flight.state)

    async def _give_way(self, flight: Flight) -> None:
        """Write it first: a kill in between shall not make somebody's wish of it. Then end it in any case."""
        await self._kept_or_logged(flight)
        self.board.tell(flight, EndWanted(wanted="give_way"))
        if flight.state == "queued" and self.board.placement.is_waiting(flight):
            self._cancelled(flight, "gave_way")
        else:
            await self._stop(flight)

    def limit(self, flight: Flight, limit: Limit) -> None:
        """End a job that passed a limit of the daemon's: it takes too much memory, or it has diverged."""
        match flight.state:
            case "running":
                if flight.active.wanted == "run":
                    flight.active = replace(flight.active, wanted=limit)
                    self.background.start_soon(self._limit, flight, limit)
            case "queued" | "launching" | "exited" | "judged" | "committed":
                pass  # nothing of it runs that could be measured
            case _:
                assert_never(flight.state)

    async def _limit(self, flight: Flight, limit: Limit) -> None:
        """Write it first: a kill in between shall not make an interruption of it. Then end it in any case."""
        await self._kept_or_logged(flight)
        self.board.tell(flight, LimitPassed(limit=limit))
        await self._stop(flight)

    def drop(self, flight: Flight) -> None:
        """Give up a run whose folder was removed: its job is ended, and it keeps its place until then."""
        flight.dropped = True
        match flight.state:
            case "launching" | "running":
                self.background.start_soon(self._stop, flight)
            case "exited" if flight.checking is not None:
                flight.checking.end()
            case "queued" | "exited" | "judged" | "committed":
                pass  # what waits for the disk ends with the nudge
            case _:
                assert_never(flight.state)
        flight.nudge()
        self.board.wake()

    async def _stop(self, flight: Flight) -> None:
        """Ask the engine for the attempt's end; what cannot be asked now is asked again by the watcher."""
        if flight.handle is None:
            return
        try:
            await self.stop(flight.handle)
        except (ArdaemonError, OSError) as error:  # its folder is away; its own limit ends it
            log.warning("not stopped", extra={"facts": {"run_id": flight.run.run_id, "why": str(error)}})

    async def _kept_or_logged(self, flight: Flight) -> None:
        try:
            await self.keep(flight)
        except (ArdaemonError, OSError) as error:
            log.warning("not written", extra={"facts": {"run_id": flight.run.run_id, "why": str(error)}})

    async def keep(self, flight: Flight) -> None:
        """Write the active entry as it is by now; of several writers at once the last one writes for all."""
        async with flight.writing:
            if flight.state == "committed":
                return  # its entry is gone
            await anyio.to_thread.run_sync(state.write, flight.entry, flight.active, 0o600)


def _both(before: Wanted, wanted: Wanted) -> Wanted:
    """Return what is wanted by now: nobody takes a wish back, and one that comes too late weakens none."""
    if before in ("stop", "judge_stop") or (wanted == "judge" and before != "run"):
        return before
    return "stop" if (before, wanted) == ("cancel", "judge_stop") else wanted
