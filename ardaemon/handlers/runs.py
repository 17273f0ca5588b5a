"""run.*: submit, wait, look, tail, cancel."""

import codecs
import time
from functools import partial
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
from msgspec.structs import replace

from ardaemon.board import Board
from ardaemon.core import protocol as p
from ardaemon.core.errors import Overloaded, StorageError, UnknownRun
from ardaemon.core.layout import Experiment, run_name, run_number
from ardaemon.core.model import Active, Judged, Result, RunRecord
from ardaemon.core.text import clean
from ardaemon.experiments import resolve
from ardaemon.handlers.context import Context, check_priority
from ardaemon.host import state
from ardaemon.host.follow import appended, read_at
from ardaemon.pipeline import excerpt, ledger, snapshot
from ardaemon.pipeline.flight import Flight
from ardaemon.server import Notify

LAST_MAX = 1000  # rows of one run.list or status.get
TAIL_MAX_BYTES = 8 << 10
FOLLOWERS_MAX = 64  # each holds a thread of the daemon
WAIT_MAX_S = 7 * 86400.0
OFFSET_MAX = 1 << 62  # of a file, with room for what is read there (off_t)


Until = Literal["launched", "committed"]


class Runs:
    """The methods on runs."""

    def __init__(self, context: Context) -> None:
        self.context, self.board = context, context.board
        self.followers = 0

    async def run_submit(self, params: p.Submit, _: Notify) -> p.RunView:
        """Everything is on disk when this returns."""
        received = time.monotonic()
        self.board.require_room()
        experiment = resolve(params.project, params.expr)
        check_priority(params.priority)
        inventory = None if params.gpus == 0 else await self.context.overseer.usable()
        async with self.context.changing(experiment):
            flights = self.board.of(experiment)
            for flight in flights:
                if flight.record.submit_id == params.submit_id:
                    return self.context.views.view(flight)
            highest = max((run_number(f.run.run_id) for f in flights), default=0)
            queue = snapshot.Queue(self.context.host.active, self.board.next_seq(), highest, inventory)
            config = self.context.config
            done = await anyio.to_thread.run_sync(snapshot.submit, experiment, params, queue, config)
            if done.active is not None:
                flight = self._queued(experiment, done, done.active, received)
                return replace(self.context.views.view(flight), warnings=done.warnings)
        return replace(await self._stored(experiment, done.record.run_id), warnings=done.warnings)

    def _queued(
        self, experiment: Experiment, done: snapshot.Submitted, active: Active, received: float
    ) -> Flight:
        record = done.record
        entry = snapshot.entry_path(self.context.host.active, experiment, record.run_id)
        run = experiment.run(record.run_id)
        flight = Flight(experiment, run, active, record, entry, received=received, peaks=done.peaks)
        self.board.add(flight)
        ms = round((time.monotonic() - received) * 1000, 2)
        self.board.told(flight, "submitted", base=record.base, note=record.note, to_disk_ms=ms)
        return flight

    async def run_wait(self, params: p.Wait, _: Notify) -> p.RunView:
        """Until launched or committed, or the timeout; a client that goes away ends only its wait."""
        experiment = resolve(params.project, params.expr)
        timeout = None if params.timeout is None else min(max(params.timeout, 0.0), WAIT_MAX_S)
        end = None if timeout is None else time.monotonic() + timeout
        if params.any:
            return await self._next(experiment, params.until, end)
        run_id = await self._named(experiment, params.run_id)
        flight = self.board.find(experiment, run_id)
        if flight is None:
            view = await self._stored(experiment, run_id)
        else:
            view = await self._awaited([flight], params.until, end)
        if view.result is not None:
            await self._heard(experiment, run_id)
        return view

    async def _next(self, experiment: Experiment, until: Until, end: float | None) -> p.RunView:
        """The first verdict that nobody has got yet: each is given to one client."""
        while True:
            changed = self.board.changed
            view = await self._untold(experiment)
            if view is not None:
                return view
            flights = self.board.of(experiment)
            if not flights:
                raise UnknownRun(
                    f"{experiment.slug} has no run under way, and every verdict has been given",
                    "arctl run; or arctl status --last 10",
                )
            # One that does not move by itself is the answer only if none does.
            moving = [flight for flight in flights if not _stuck(flight, self.board)]
            there = [flight for flight in moving if _there(flight, until, self.board)]
            if until == "launched" and there:
                return self.context.views.view(there[0])
            if not moving:
                return await self._awaited(flights, until, end)
            if not await _before(end, changed):
                return self.context.views.view(moving[0])

    async def _untold(self, experiment: Experiment) -> p.RunView | None:
        """A verdict that is whole on disk and that nobody has got; now it is this client's."""
        found = await self.context.load(experiment)
        for run_id in found.session.untold:
            if run_id in self.board.told_of(experiment.folder) or self.board.find(experiment, run_id):
                continue  # of a run whose commit is under way, the result is not there yet
            self.board.hear(experiment, run_id, found.session.untold)
            try:
                view = await self._stored(experiment, run_id)
            except UnknownRun:  # a person has removed it
                continue
            if view.result is not None:
                return view
        return None

    async def _awaited(self, flights: list[Flight], until: Until, end: float | None) -> p.RunView:
        """The first of them to get there; as it stands when the time is over."""
        first = flights[0]
        with anyio.move_on_after(None if end is None else max(end - time.monotonic(), 0.0)):
            while not _there(first, until, self.board):  # what was in its way may be gone by now
                first = await _first(flights, until, self.board)
        if first.blocked is not None:
            raise StorageError(
                f"{first.run.run_id} cannot go on: {first.blocked}",
                f"it is tried again; then: arctl wait {first.run.run_id}",
            )
        return self.context.views.view(first)

    async def _heard(self, experiment: Experiment, run_id: str) -> None:
        found = await self.context.load(experiment)
        self.board.hear(experiment, run_id, found.session.untold)

    async def run_get(self, params: p.WhichRun, _: Notify) -> p.RunView:
        """One run as it stands."""
        experiment = resolve(params.project, params.expr)
        run_id = await self._named(experiment, params.run_id)
        flight = self.board.find(experiment, run_id)
        return self.context.views.view(flight) if flight else await self._stored(experiment, run_id)

    async def run_list(self, params: p.Recent, _: Notify) -> p.RunList:
        """The last rows of results.tsv."""
        experiment = resolve(params.project, params.expr)
        found = await self.context.load(experiment)
        rows = ledger.last(experiment.results, min(params.last or LAST_MAX, LAST_MAX))
        return p.RunList(
            expr=experiment.slug,
            primary=found.contract.primary.metric,
            runs=tuple(rows),
            warnings=tuple(found.warnings),
        )

    async def run_tail(self, params: p.Tail, notify: Notify) -> p.TailText:
        """The end of the log; with follow, what is added until the run is committed."""
        experiment = resolve(params.project, params.expr)
        run_id = await self._named(experiment, params.run_id)
        flight = self.board.find(experiment, run_id)
        path = _log_of(experiment, run_id, flight)
        size = path.stat().st_size if path.exists() else 0
        text = await anyio.to_thread.run_sync(excerpt.excerpt, path, params.lines, TAIL_MAX_BYTES)
        if params.follow and (flight is not None or params.offset is not None):
            if params.offset is None:
                await notify("run.log", {"text": text, "offset": size})
            offset = size if params.offset is None else min(max(params.offset, 0), OFFSET_MAX)
            await self._follow(_Follow(flight, path, offset, notify))
            text = ""
        state_now = flight.state if flight is not None else "committed"
        return p.TailText(expr=experiment.slug, run_id=run_id, state=state_now, text=text)

    async def _follow(self, following: "_Follow") -> None:
        if self.followers >= FOLLOWERS_MAX:
            raise Overloaded(f"{FOLLOWERS_MAX} clients follow a log already", "end some of them")
        self.followers += 1
        try:
            await following.run()
        finally:
            self.followers -= 1

    async def run_cancel(self, params: p.Cancel, _: Notify) -> p.RunView:
        """Write the wish down; the loops make it so."""
        experiment = resolve(params.project, params.expr)
        run_id = await self._named(experiment, params.run_id)
        flight = self.board.find(experiment, run_id)
        if flight is None:
            return await self._stored(experiment, run_id)
        await self.context.cancel(flight, "stop" if params.manual else "cancel")
        return self.context.views.view(flight)

    async def _named(self, experiment: Experiment, run_id: str | None) -> str:
        """The run that is meant: the latest without a name."""
        if run_id is not None:
            if self.board.find(experiment, run_id) or experiment.run(run_id).record.exists():
                return run_id
            raise UnknownRun(
                f"no run {run_id} in {experiment.slug}", "arctl status --last 10 lists the latest"
            )
        flights = self.board.of(experiment)
        if flights:
            return flights[-1].run.run_id
        found = await self.context.load(experiment)
        if found.session.last_run == 0:
            raise UnknownRun(f"{experiment.slug} has no run yet", "arctl run --wait")
        return run_name(found.session.last_run)

    async def _stored(self, experiment: Experiment, run_id: str) -> p.RunView:
        """A committed run, from its files."""
        run = experiment.run(run_id)
        record = state.read(run.record, RunRecord)
        result = state.read(run.result, Result)
        if record is None:
            raise UnknownRun(
                f"no run {run_id} in {experiment.slug}", "arctl status --last 10 lists the latest"
            )
        return p.RunView(
            project=str(experiment.project),
            expr=experiment.slug,
            run_id=run_id,
            folder=str(run.folder),
            state="committed" if result else "queued",
            argv=record.argv,
            seconds=record.settings.seconds,
            base=record.base,
            note=record.note,
            checkpoint_glob=record.settings.checkpoint_glob,
            exit=record.state.decision.exit if isinstance(record.state, Judged) else None,
            result=result,
        )


class _Follow:
    """Sends what is added to a run's log, to its very end, in whole characters and clean."""

    def __init__(self, flight: Flight | None, path: Path, offset: int, notify: Notify) -> None:
        self.flight, self.path, self.offset, self.notify = flight, path, offset, notify
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def run(self) -> None:
        """Until the run is committed."""
        if self.flight is not None:
            await self._while_it_runs(self.flight)
        while data := read_at(self._log(), self.offset):  # what came between the last look and the end
            await self._send(data)

    async def _while_it_runs(self, flight: Flight) -> None:
        attempt = flight.attempts
        while not (flight.state == "committed" or flight.dropped):
            if attempt not in (0, flight.attempts):  # made again: another log, from its beginning
                self.offset, self.decoder = 0, codecs.getincrementaldecoder("utf-8")("replace")
            attempt = flight.attempts
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send_all, flight)
                await flight.until(partial(self._is_over, flight, attempt))
                tasks.cancel_scope.cancel()

    @staticmethod
    def _is_over(flight: Flight, attempt: int) -> bool:
        again = attempt != 0 and flight.handle is not None and flight.attempts != attempt
        return flight.state == "committed" or flight.dropped or again

    async def _send_all(self, flight: Flight) -> None:
        await flight.until(lambda: flight.handle is not None)
        async for data in appended(self._log(), self.offset):
            await self._send(data)

    async def _send(self, data: bytes) -> None:
        text = self.decoder.decode(data).replace("\r", "\n")
        held = len(self.decoder.getstate()[0])  # the beginning of a character
        with anyio.CancelScope(shield=True):  # cut off in its midst, it would be lost or sent twice
            self.offset += len(data)
            await self.notify("run.log", {"text": clean(text), "offset": self.offset - held})

    def _log(self) -> Path:
        if self.flight is None:
            return self.path
        return _log_of(self.flight.experiment, self.flight.run.run_id, self.flight)


def _there(flight: Flight, until: Until, board: Board) -> bool:
    """It has come so far, or does not come any further by itself."""
    past = flight.state in ("running", "exited", "judged", "committed")
    return flight.state == "committed" or _stuck(flight, board) or (until == "launched" and past)


def _stuck(flight: Flight, board: Board) -> bool:
    """It waits for a person."""
    if flight.blocked is not None:
        return True
    idle = flight.held or flight.active.held or board.placement.standstill(flight) is not None
    return idle and flight.state == "queued"


async def _before(end: float | None, event: anyio.Event) -> bool:
    """Wait for the event; False where the time is over first."""
    with anyio.move_on_after(None if end is None else max(end - time.monotonic(), 0.0)):
        await event.wait()
        return True
    return False


async def _first(flights: list[Flight], until: Until, board: Board) -> Flight:
    """The first of the flights to get there (or to be stuck)."""
    found: list[Flight] = []
    async with anyio.create_task_group() as tasks:

        async def watch(flight: Flight) -> None:
            await flight.until(lambda: _there(flight, until, board))
            found.append(flight)
            tasks.cancel_scope.cancel()

        for flight in flights:
            tasks.start_soon(watch, flight)
    return found[0]


def _log_of(experiment: Experiment, run_id: str, flight: Flight | None) -> Path:
    run = experiment.run(run_id)
    return run.attempt(flight.attempts or 1).log if flight is not None else run.log
