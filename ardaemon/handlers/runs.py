"""run.*: submit, look, list, cancel."""

import time
from functools import partial

from msgspec.structs import replace

from ardaemon.core import asides
from ardaemon.core import protocol as p
from ardaemon.core.errors import Refused, StorageError, Unfollowed
from ardaemon.core.events import RunSubmitted
from ardaemon.core.layout import Experiment, project_folder
from ardaemon.core.priority import check_priority
from ardaemon.core.run_record import Active
from ardaemon.experiment import ledger
from ardaemon.experiment.state import State
from ardaemon.handlers import unfollowed
from ardaemon.handlers.context import Context
from ardaemon.handlers.lookup import named, state_of, stored
from ardaemon.pipeline import submit
from ardaemon.pipeline.flight import Flight
from ardaemon.rpc.dispatch import Notify
from ardaemon.source.reader import Early

# For the last commit to be in the index of versions: milliseconds. Nobody waits for a whole history that is
# derived anew.
SETTLE_S = 0.5
LAST_MAX = 1000  # rows of one run.list or status.get


class Runs:
    """The methods on runs, but for run.wait and run.tail."""

    def __init__(self, context: Context) -> None:
        self.context, self.board, self.views = context, context.board, context.views

    async def run_submit(self, params: p.Submit, _: Notify) -> p.RunView:
        """Take a candidate; all of it is on disk when this returns."""
        try:
            return await self._submit(params)
        except StorageError as error:
            made_room = await self.context.log_quota.refused(project_folder(params.project), error)
            if not made_room:
                raise
            for line in made_room:
                asides.tell(line)
            return await self._submit(params)

    async def _submit(self, params: p.Submit) -> p.RunView:
        received = time.monotonic()
        self.board.require_room()
        experiment = await self.context.resolve(params.project, params.expr)
        check_priority(params.priority)
        inventory = None if params.gpus == 0 else await self.context.overseer.usable()
        await self.context.facts.settle(experiment, SETTLE_S)
        early = await self._asked_early(experiment)
        made_room = await self.context.log_quota.make_room(experiment.project)
        async with self.context.changing(experiment):
            flights = self.board.of(experiment)
            for flight in flights:
                if flight.record.submit_id == params.submit_id:
                    return self.views.view(flight)
            highest = max((flight.number for flight in flights), default=0)
            entries, key = self.context.host.active, self.context.fingerprint_key
            position = submit.Position(
                entries=entries,
                seq=self.board.next_seq(),
                highest=highest,
                key=key,
                started_here=self.context.started_here,
                inventory=inventory,
                under_way=tuple(flight.record for flight in flights if flight.goes_on()),
                normal_of=early.of_thread,
            )
            config = self.context.config.now
            work = partial(submit.submit, experiment, params, position, config)
            done = await self.context.do(experiment, work)
            if done.active is not None:
                flight = self._queued(experiment, done, done.active, received)
                view = self.views.submitted(flight)
                return replace(view, warnings=(*done.warnings, *made_room), missing=done.missing)
        return replace(await stored(self.context, experiment, done.record.run_id), warnings=done.warnings)

    async def _asked_early(self, experiment: Experiment) -> Early:
        """Ask for the normal form of train.py now, so that it is there when all else has been checked."""
        early = await self.context.ask(experiment, partial(submit.to_compare, experiment))
        return Early(self.context.facts.reader, early)

    def _queued(
        self, experiment: Experiment, done: submit.Submitted, active: Active, received: float
    ) -> Flight:
        record = done.record
        entry = submit.entry_path(self.context.host.active, experiment, record.run_id)
        run = experiment.run(record.run_id)
        flight = Flight(experiment, run, active, record, entry, received=received, peaks=done.peaks)
        self.board.add(flight)
        ms = round((time.monotonic() - received) * 1000, 2)
        self.board.tell(flight, RunSubmitted(base=record.base, note=record.note, to_disk_ms=ms))
        return flight

    async def run_get(self, params: p.WhichRun, _: Notify) -> p.RunView:
        """Return one run as it stands."""
        experiment = await self.context.resolve(params.project, params.expr)
        run_id = await named(self.context, experiment, params.run_id)
        try:
            flight = await unfollowed.flight_of(self.context, experiment, run_id)
        except Unfollowed as error:
            if await state_of(self.context, experiment, run_id) == "unknown":
                raise  # there is nothing to show
            return replace(await stored(self.context, experiment, run_id), why=error.message)
        return self.views.view(flight) if flight else await stored(self.context, experiment, run_id)

    async def run_list(self, params: p.Recent, _: Notify) -> p.RunList:
        """Return the last rows of results.tsv."""
        last = min(params.last or LAST_MAX, LAST_MAX)

        def look(experiment: Experiment, state: State) -> p.RunList:
            return p.RunList(
                expr=experiment.slug,
                primary=state.contract.primary.metric,
                runs=tuple(ledger.last(experiment.results, last)),
                warnings=tuple(state.warnings),
            )

        return await self.context.read(params.project, params.expr, look)

    async def run_cancel(self, params: p.Cancel, _: Notify) -> p.RunView:
        """Write down that the run is to end; the loops make it so."""
        experiment = await self.context.resolve(params.project, params.expr)
        run_id = await named(self.context, experiment, params.run_id)
        flight = await unfollowed.flight_of(self.context, experiment, run_id)
        if flight is None and params.run_id is None:
            raise Refused(f"no run of {experiment.slug} is under way", "arctl queue lists all that are")
        if flight is None:
            return await stored(self.context, experiment, run_id)
        await self.context.control.cancel(flight, "stop" if params.manual else "cancel")
        return self.views.view(flight)
