"""The loop that applies what assign() decides, and has every flight that is past the queue driven on."""

import logging
import time
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
from msgspec.structs import replace

from ardaemon.core.events import RunDropped
from ardaemon.core.queue import QueueFacts
from ardaemon.pipeline.drive import Driver
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.patience import Dropped
from ardaemon.queue import facts as queue_facts
from ardaemon.queue.assign import assign
from ardaemon.queue.board import Board
from ardaemon.queue.giving_way import giving_way

log = logging.getLogger("ardaemon.run")
FAULT_RETRY_S = 60.0  # after a fault of ours: it may have been the moment


class Scheduler:
    """Sleep until something changes; then start what can start, and leave nothing undriven.

    The scheduler keeps no state of the queue: each round collects the facts anew, asks assign(), and puts
    its answer on the board before anything is awaited. So a change that comes meanwhile is not lost, only
    seen by the next round, and no two rounds can give the same place away.

    One task drives each flight. A fault in it is a fault of the daemon: it is logged, the run stays on disk,
    and it is driven again later, while the loop and all other runs go on.
    """

    def __init__(
        self,
        board: Board,
        driver: Driver,
        gpus_known: Callable[[], Awaitable[object]],
        look: Callable[[], None],
        give_way: Callable[[Flight], None],
        committed: Callable[[Flight], None],
        tasks: anyio.abc.TaskGroup,
    ) -> None:
        """Start nothing yet. `gpus_known` waits until the GPUs were looked at once.

        `look` asks for a look at them, which changes something: on an old one no run is put there.
        `give_way` ends a launch on an idle place. `committed` is told of each run that has left the board.
        """
        self.board, self.driver, self.tasks = board, driver, tasks
        self.gpus_known, self.look = gpus_known, look
        self.give_way, self.committed = give_way, committed

    async def loop(self) -> None:
        """Start what can start whenever something changed, for ever."""
        self._drive_on()
        await self.gpus_known()  # so that the first decision knows the machine
        while True:
            changed = self.board.changed
            self._drive_on()
            self._start(time.monotonic())
            with anyio.move_on_after(self.board.gate.sleep_s()):
                await changed.wait()

    def _drive_on(self) -> None:
        """Drive what a daemon before us left, and what a wish has moved past the queue."""
        for flight in self.board.undriven():
            self._launch(flight)

    def _start(self, now: float) -> None:
        board, placement = self.board, self.board.placement
        facts = queue_facts.gather(board, now)
        fresh = placement.gpus.is_fresh(now)
        assignment = assign(facts if fresh else _without_gpus(facts))
        if fresh:
            placement.kept = assignment.reservation.key if assignment.reservation is not None else None
        for start in assignment.starts:
            flight = board.flights.get(start.key)
            if flight is not None:
                placement.occupy(flight, start.seat, now)
                self._launch(flight)
            elif board.audit is not None:
                placement.occupy(board.audit, start.seat, now)
                board.audit.wake()
        for key in giving_way(facts, assignment):
            self.give_way(board.flights[key])
        if board.wants_gpus() and (placement.gpus.draining or not fresh):
            self.look()

    def _launch(self, flight: Flight) -> None:
        flight.driven = True
        self.tasks.start_soon(self._fly, flight)

    async def _fly(self, flight: Flight) -> None:
        """Drive a flight; off the board when it is committed, its place free when it waits again."""
        try:
            if not flight.dropped:
                await self.driver.drive(flight)
        except Dropped:
            pass
        except Exception as error:
            self._failed(flight, error)
            return
        if flight.dropped and flight.state != "committed":
            await self._give_up(flight)
        elif flight.state == "committed":
            self._committed(flight)
        else:
            self.board.release(flight)
            flight.going, flight.driven = None, False

    def _committed(self, flight: Flight) -> None:
        if flight.result is not None and flight.result.should_terminate:
            self.board.hold(flight.experiment.folder, True)
        self.board.teach(flight)
        self.board.drop(flight)
        self.committed(flight)

    def _failed(self, flight: Flight, error: Exception) -> None:
        """Log a fault of ours with its traceback; the run stays on disk, and is tried again."""
        flight.blocked = f"a fault of the daemon ({type(error).__name__}): see arctl daemon logs"
        flight.wake()
        where = {"expr": flight.experiment.slug, "run_id": flight.run.run_id}
        log.exception("drive failed", extra={"facts": where})
        over = flight.exit is not None and not flight.exit.survivors
        if over or flight.state == "queued":  # else its processes hold the place
            self.board.release(flight)
        self.tasks.start_soon(self._again, flight)

    async def _again(self, flight: Flight) -> None:
        with anyio.move_on_after(FAULT_RETRY_S):
            await flight.nudged.wait()
        flight.blocked, flight.driven = None, False
        if flight.state == "queued":
            flight.going = None
        flight.wake()
        self.board.wake()

    async def _give_up(self, flight: Flight) -> None:
        """Take a run off the board whose folder was removed: its job was ended by now."""
        try:
            await self.driver.give_up(flight)
        except Exception as error:
            self._failed(flight, error)
            return
        why = "its folder is gone; it was dropped"
        self.board.tell(flight, RunDropped(why=why))
        flight.blocked = why
        flight.wake()
        self.board.drop(flight)


def _without_gpus(facts: QueueFacts) -> QueueFacts:
    """Return the runs on CPU slots alone: the others wait for the next look, as what is promised to them."""
    return replace(facts, waiting=tuple(run for run in facts.waiting if not run.need.gpus))
