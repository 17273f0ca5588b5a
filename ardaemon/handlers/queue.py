"""queue.*: the runs at work and those that wait, and the order in which they go."""

import time
from typing import Literal

import anyio
from msgspec.structs import replace

from ardaemon.core import protocol as p
from ardaemon.core.errors import Refused, UsageError
from ardaemon.core.events import RunMoved
from ardaemon.core.gate import Order
from ardaemon.core.priority import check_priority
from ardaemon.core.run_record import Active
from ardaemon.handlers import unfollowed
from ardaemon.handlers.context import Context
from ardaemon.handlers.lookup import named
from ardaemon.pipeline.flight import Flight
from ardaemon.rpc.dispatch import Notify

STAYS = "it was closed for longer before, and stays so; for another time: arctl queue resume, then this again"


class Queue:
    """The methods on the queue of all experiments."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board

    async def queue_list(self, _: p.Nothing, __: Notify) -> p.QueueView:
        """List the runs of all experiments: those at work, and those that wait."""
        if self.board.wants_gpus():
            self.context.overseer.sampler.ask()
        return self._view()

    def _view(self) -> p.QueueView:
        closed = self.board.gate.closed()
        return p.QueueView(
            runs=tuple(self.context.views.views()),
            slots=len(self.board.placement.slots),
            busy=len(self.board.placement.seated),
            closed=None if closed is None else closed.why,
            closed_until=None if closed is None else closed.until,
            opened_until=self.board.gate.opened_until(),
            warnings=(
                *unfollowed.arrivals(self.board.arriving.total()),
                *unfollowed.warnings(self.board),
                *self.board.placement.in_quarantine.values(),
            ),
        )

    async def queue_pause(self, params: p.Pause, _: Notify) -> p.QueueView:
        """Let no run start; those at work go on."""
        return await self._order("drained" if params.drain else "paused", params.seconds)

    async def queue_resume(self, params: p.Pause, _: Notify) -> p.QueueView:
        """Let runs start again: as the hours of config.toml say, or for `seconds` whatever they say."""
        if params.drain:
            raise UsageError("queue.resume drains nothing", "leave out `drain`")
        seconds = 0.0 if params.seconds is None else params.seconds
        return await self._order("open", seconds)

    async def _order(self, word: Literal["paused", "drained", "open"], seconds: float | None) -> p.QueueView:
        until = None if seconds is None else time.time() + seconds
        order = Order(state=word, until=until)
        stays = await self.board.gate.set(order) != order
        self.board.wake_waiting()
        view = self._view()
        return replace(view, warnings=(STAYS, *view.warnings)) if stays else view

    async def queue_drained(self, params: p.Drained, _: Notify) -> p.QueueView:
        """Wait until no run has a place, or for `timeout` seconds."""
        with anyio.move_on_after(params.timeout):
            while self.board.placement.seated:
                await self.board.changed.wait()
        return self._view()

    async def queue_move(self, params: p.Move, _: Notify) -> p.RunView:
        """Put a run before or after all of its priority, or give it another priority."""
        check_priority(params.priority)
        if params.to is None and params.priority is None:
            raise UsageError("queue.move needs a place or a priority", "arctl queue move --help")
        flight = await self._waiting(params)
        priority = flight.active.priority if params.priority is None else params.priority
        front = self._front(flight, params.to, priority)
        return await self._write(flight, replace(flight.active, priority=priority, front=front))

    async def queue_hold(self, params: p.WhichRun, _: Notify) -> p.RunView:
        """Keep a run that waits from starting."""
        flight = await self._waiting(params)
        return await self._write(flight, replace(flight.active, held=True))

    async def queue_release(self, params: p.WhichRun, _: Notify) -> p.RunView:
        """Let a run that was held start again."""
        flight = await self._waiting(params)
        return await self._write(flight, replace(flight.active, held=False))

    def _front(self, flight: Flight, to: Literal["first", "last"] | None, priority: int) -> int:
        others = [
            other.active.front
            for other in self.board.flights.values()
            if other.state == "queued" and other is not flight and other.active.priority == priority
        ]
        match to:
            case "first":
                return max(others, default=0) + 1
            case "last":
                return min(others, default=0) - 1
        return flight.active.front if flight.active.priority == priority else 0

    async def _waiting(self, params: p.WhichRun) -> Flight:
        """Return the run, if it waits. Raises UnknownRun, Unfollowed, Refused."""
        experiment = await self.context.resolve(params.project, params.expr)
        if params.run_id is None:
            raise UsageError("a run must be named", "arctl queue")
        run_id = await named(self.context, experiment, params.run_id)
        flight = await unfollowed.flight_of(self.context, experiment, run_id)
        if flight is None or not self.board.placement.is_waiting(flight):
            state = "committed" if flight is None else flight.state
            state = "launching" if state == "queued" else state  # it has its place
            raise Refused(f"{run_id} has left the queue: it is {state}", "arctl queue")
        return flight

    async def _write(self, flight: Flight, active: Active) -> p.RunView:
        before, flight.active = flight.active, active  # at once: the next decision is made by it
        if active != before:
            try:
                await self.context.control.keep(flight)
            except BaseException:
                if flight.active is active:  # else somebody has wished for something since
                    flight.active = before
                raise
            moved = RunMoved(priority=active.priority, front=active.front, held=active.held)
            self.board.tell(flight, moved)
            flight.wake()
            self.board.wake()
        return self.context.views.view(flight)
