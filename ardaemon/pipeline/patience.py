"""Try again what the disk refuses, for as long as it takes: a result is never dropped."""

import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.abc

from ardaemon.core.errors import ArdaemonError, StorageError
from ardaemon.core.events import RunBlocked, RunUnblocked
from ardaemon.experiment.locks import Locks
from ardaemon.host import obstacle
from ardaemon.host.disk import Disks
from ardaemon.host.folder_events import FolderEvents
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.ports import Listener

T = TypeVar("T")
# There is no event for "space is back".
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 60.0


async def first(*waits: Callable[[], Awaitable[object]] | None) -> None:
    """Wait for the first of these."""
    async with anyio.create_task_group() as tasks:

        async def wait(for_it: Callable[[], Awaitable[object]]) -> None:
            await for_it()
            tasks.cancel_scope.cancel()

        for each in filter(None, waits):
            tasks.start_soon(wait, each)


class Dropped(Exception):
    """The flight's folder is gone for good: its drive ends."""


class Patience:
    """Wait between two tries, longer each time, and say what is in the way."""

    def __init__(
        self,
        locks: Locks,
        listener: Listener,
        background: anyio.abc.TaskGroup,
        disks: Disks,
        make_room: Callable[[Path, Exception], Coroutine[Any, Any, object]],
    ) -> None:
        """Take the parts of the daemon.

        `make_room` gets a project, and what its disk has said. It removes what may go if that disk is full,
        and returns something true if it did.
        """
        self.locks, self.listener, self.background = locks, listener, background
        self.disks, self.make_room = disks, make_room

    def alone(self, flight: Flight) -> AbstractAsyncContextManager[None]:
        """Return the experiment's lock: while it is held, nothing else changes the experiment's files."""
        return self.locks.of(flight.experiment.folder)

    async def once(self, flight: Flight, work: Callable[[], T]) -> T:
        """Do the work in a thread, once. Raises the work's own errors, and StorageError as Disks.do does."""
        return await self.disks.do(flight.experiment.project, work)

    async def insist(self, flight: Flight, work: Callable[[], T]) -> T:
        """Do the work in a thread, again and again while the disk refuses: a result is never dropped."""
        return await self._insist(flight, work, nullcontext())

    async def alone_with(self, flight: Flight, work: Callable[[], T]) -> T:
        """Do it as insist() does, each time while nothing else changes the experiment's files.

        The lock is free between two tries, so that commands, by which a person mends, are not shut out.
        """
        return await self._insist(flight, work, self.alone(flight))

    async def _insist(
        self, flight: Flight, work: Callable[[], T], lock: AbstractAsyncContextManager[None]
    ) -> T:
        pause = None
        while True:
            try:
                async with lock:
                    done = await self.once(flight, work)
            except (ArdaemonError, OSError) as error:
                pause = await self.pause(flight, error, pause)
                continue
            if flight.blocked is not None:
                flight.blocked = None
                flight.wake()
            return done

    async def pause(
        self, flight: Flight, error: Exception, pause: float | None, *, alive: bool = False
    ) -> float:
        """Say what is in the way, wait (or be nudged), and return the next, longer wait (seconds).

        `pause`: what the last one returned; None at the first. Raises Dropped where the run's folder was
        removed, but not while its processes may be `alive`: they are ended first.
        """
        await self._look_for(flight)
        if flight.dropped and not alive:
            raise Dropped from error
        pause = pause or RETRY_FIRST_S
        if await self.make_room(flight.experiment.project, error):
            return pause  # to the next try, at once
        self._block(flight, error, pause)
        await self._until_changed(flight, error, pause)
        if flight.dropped and not alive:
            raise Dropped from error
        return min(pause * 2, RETRY_MOST_S)

    async def _until_changed(self, flight: Flight, error: Exception, pause: float) -> None:
        """Wait for a nudge, for a change where the thing in the way stands, or until `pause` is over.

        A folder that changes all the time costs one try each second, as the first one after a failure does.
        """
        begun, nudged = anyio.current_time(), flight.nudged
        events = await self._watched(flight, error)
        try:
            with anyio.move_on_after(pause):
                await first(nudged.wait, events.changed if events is not None else None)
                if not nudged.is_set():
                    await anyio.sleep(max(0.0, begun + RETRY_FIRST_S - anyio.current_time()))
        finally:
            if events is not None:
                events.close()

    async def _watched(self, flight: Flight, error: Exception) -> FolderEvents | None:
        """Watch the folder of what is in the way; None if no change there would tell that it is gone."""
        path = error.data.get("path") if isinstance(error, ArdaemonError) else None
        cause = error.__cause__
        if path is None or (isinstance(cause, OSError) and cause.errno in obstacle.OF_THE_DISK):
            return None
        with contextlib.suppress(StorageError, OSError):
            folders = [Path(path).parent]
            return await self.disks.ask(flight.experiment.project, lambda: FolderEvents(folders))
        return None

    async def _look_for(self, flight: Flight) -> None:
        """Note whether the run's folder was removed; on a disk that does not answer it was not."""
        with contextlib.suppress(StorageError, OSError):
            removed = await self.disks.ask(flight.experiment.project, flight.is_removed)
            flight.dropped = flight.dropped or removed

    async def set_aside(self, flight: Flight, error: Exception) -> None:
        """Let others go first until the run, which stays in the queue, is tried again: later each time."""
        await self._look_for(flight)
        pause = min(RETRY_FIRST_S * 2 ** min(flight.failures, 6), RETRY_MOST_S)
        flight.failures += 1
        self._block(flight, error, pause)
        self.background.start_soon(self.make_room, flight.experiment.project, error)
        self.background.start_soon(self._unblock, flight, pause)

    def _block(self, flight: Flight, error: Exception, pause: float) -> None:
        mend = getattr(error, "mend", "")
        flight.blocked = f"{error} ({mend})" if mend else str(error)
        self.listener.tell(flight, RunBlocked(why=flight.blocked, retry_s=pause))
        flight.wake()

    async def _unblock(self, flight: Flight, pause: float) -> None:
        with anyio.move_on_after(pause):
            await flight.nudged.wait()
        flight.blocked = None
        flight.wake()
        self.listener.tell(flight, RunUnblocked())
        self.listener.wake()
