"""run.wait: until a run is launched or committed, or for the next verdict of an experiment."""

import time
from contextlib import suppress
from functools import partial

import anyio
from msgspec.structs import replace

from ardaemon.core import asides
from ardaemon.core import protocol as p
from ardaemon.core.errors import ArdaemonError, UnknownRun
from ardaemon.core.layout import Experiment
from ardaemon.experiment import vanished
from ardaemon.handlers import unfollowed
from ardaemon.handlers.context import Context
from ardaemon.handlers.lookup import named, stored
from ardaemon.handlers.stuck import is_stuck, refusal
from ardaemon.handlers.tail import dropped_of
from ardaemon.machine.on_event import FEEDBACK_S
from ardaemon.pipeline.flight import Flight
from ardaemon.queue.board import Board, Message
from ardaemon.rpc.dispatch import Notify

WAIT_MAX_S = 7 * 86400.0


class Waiter:
    """Let clients wait for runs."""

    def __init__(self, context: Context) -> None:
        self.context, self.board, self.views = context, context.board, context.views

    async def run_wait(self, params: p.Wait, _: Notify) -> p.RunView:
        """Wait until a run is launched or committed, or the time is over.

        Raises at once for a run that does not move by itself: a client that calls again must never spin. A
        client that goes away ends only its wait.
        """
        experiment = await self.context.resolve(params.project, params.expr)
        timeout = None if params.timeout is None else min(max(params.timeout, 0.0), WAIT_MAX_S)
        end = None if timeout is None else time.monotonic() + timeout
        if params.any:
            under_way = {flight.run.run_id for flight in self.board.candidates(experiment)}
            view = await self._next(experiment, params.until, end)
            over = view.result is not None
            return (
                await self._with_feedback(experiment, view, view.run_id in under_way, end) if over else view
            )
        run_id = await named(self.context, experiment, params.run_id)
        flight = await unfollowed.flight_of(self.context, experiment, run_id)
        if flight is None:
            view = await stored(self.context, experiment, run_id)
        else:
            view = await self._awaited([flight], params.until, end)
        if view.result is not None:
            await self._deliver(experiment, run_id)
            return await self._with_feedback(experiment, view, flight is not None, end)
        return view

    async def _with_feedback(
        self, experiment: Experiment, view: p.RunView, awaited: bool, end: float | None
    ) -> p.RunView:
        """Add what a person's command prints of the run, and tell what its log has lost.

        Of a run of long ago nothing more is awaited.
        """
        notifier = self.context.notifier
        with suppress(ArdaemonError):  # the verdict stands without that line
            asides.tell(await self.context.ask(experiment, partial(dropped_of, experiment, view.run_id)))
        comes = awaited or notifier.is_pending((view.project, view.expr, view.run_id))
        left = FEEDBACK_S if end is None else end - time.monotonic()
        return replace(view, feedback=await notifier.feedback(_committed(view), left if comes else 0.0))

    async def _next(self, experiment: Experiment, until: p.Until, end: float | None) -> p.RunView:
        """Wait for the first verdict that nobody has got yet: each is given to one client."""
        while True:
            changed = self.board.changed
            view = await self._undelivered(experiment)
            if view is not None:
                return view
            flights = self.board.candidates(experiment)
            if not flights and changed.is_set():
                continue  # the last one was committed while its session was read: look at both again
            if not flights:
                raise await self._nothing_under_way(experiment)
            # One that does not move by itself is the answer only if none does.
            moving = [flight for flight in flights if not is_stuck(flight, self.board)]
            there = [flight for flight in moving if _there(flight, until, self.board)]
            if until != "committed" and there:
                return self.views.view(there[0])
            if not moving:
                return await self._awaited(flights, until, end)
            if not await _before(end, changed):
                return self.views.view(moving[0])

    async def _nothing_under_way(self, experiment: Experiment) -> ArdaemonError:
        session = (await self.context.load(experiment)).session
        left = await unfollowed.listed(self.context, experiment, session.last_run)
        if left:
            return await unfollowed.refusal(self.context, experiment, left[0])
        return UnknownRun(
            f"{experiment.slug} has no run under way, and every verdict has been given",
            "arctl run; or arctl status --last 10",
        )

    async def _undelivered(self, experiment: Experiment) -> p.RunView | None:
        """Take a verdict that is whole on disk and that nobody has got; None if there is none."""
        undelivered = (await self.context.load(experiment)).session.undelivered
        for run_id in undelivered:
            if run_id in self.board.delivered(experiment.folder) or self.board.find(experiment, run_id):
                continue  # of a run whose commit is under way, the result is not there yet
            self.board.deliver(experiment, run_id, undelivered)
            try:
                view = await stored(self.context, experiment, run_id)
            except UnknownRun:  # a person has removed it
                continue
            if view.result is not None:
                return view
        return None

    async def _awaited(self, flights: list[Flight], until: p.Until, end: float | None) -> p.RunView:
        """Wait for the first of them to get there, or until the time is over; return it as it stands then."""
        first = flights[0]
        with anyio.move_on_after(None if end is None else max(end - time.monotonic(), 0.0)):
            while not _there(first, until, self.board):  # what was in its way may be gone by now
                first = await _first(flights, until, self.board)
        if is_stuck(first, self.board):
            unclean = await self.context.ask(first.experiment, first.experiment.unclean.exists)
            back = partial(vanished.way_back_of, first.run)
            way_back = await self.context.ask(first.experiment, back) if first.dropped else None
            raise refusal(first, self.board, unclean, way_back)
        return self.views.view(first)

    async def _deliver(self, experiment: Experiment, run_id: str) -> None:
        """Note that this client gets the verdict: `wait --any` gives it to nobody else."""
        session = (await self.context.load(experiment)).session
        self.board.deliver(experiment, run_id, session.undelivered)


def _committed(view: p.RunView) -> Message:
    """Return the event that told the run's commit, as far as a notice needs it."""
    result = view.result
    assert result is not None
    return {
        "event": "committed",
        "project": view.project,
        "expr": view.expr,
        "run_id": view.run_id,
        "status": result.status,
        "verdict": result.verdict,
        "reason": result.reason,
        "value": result.primary.value,
        "terminated_by": result.terminated_by,
    }


def _there(flight: Flight, until: p.Until, board: Board) -> bool:
    """Tell whether the run has come so far, or does not come any further by itself."""
    if flight.state == "committed" or is_stuck(flight, board):
        return True
    past = flight.state in ("running", "exited", "judged")
    return until != "committed" and (past or (until == "launched_or_closed" and _is_kept(flight, board)))


def _is_kept(flight: Flight, board: Board) -> bool:
    """Tell whether the run waits because a person has closed the queue."""
    closed = board.gate.closed()
    return closed is not None and closed.ordered and board.placement.is_waiting(flight)


async def _before(end: float | None, event: anyio.Event) -> bool:
    """Wait for the event; False where the time is over first."""
    with anyio.move_on_after(None if end is None else max(end - time.monotonic(), 0.0)):
        await event.wait()
        return True
    return False


async def _first(flights: list[Flight], until: p.Until, board: Board) -> Flight:
    """Wait for the first of the flights to get there (or to be stuck), and return it."""
    arrived: list[Flight] = []
    async with anyio.create_task_group() as tasks:

        async def watch(flight: Flight) -> None:
            await flight.until(lambda: _there(flight, until, board))
            arrived.append(flight)
            tasks.cancel_scope.cancel()

        for flight in flights:
            tasks.start_soon(watch, flight)
    return arrived[0]
