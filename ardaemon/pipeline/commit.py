"""Judge and commit: from the end of a run to its result, or back to the queue.

A commit has two stages. decide.py writes the whole decision into run.json; apply.py carries it out, by steps
that can all be repeated. A kill in the middle leaves a decision that the next daemon only has to apply.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio.from_thread
import anyio.to_thread

from ardaemon.checkpoints.promote import no_report
from ardaemon.core.errors import ArdaemonError, CorruptState
from ardaemon.core.events import BestDrifted, CheckpointCopied, RunAgain, RunCommitted
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.model import Quarantine, Result, UncleanRecord
from ardaemon.core.run_record import AttemptResult, Judged, Queued
from ardaemon.core.size import shown
from ardaemon.engines.base import Engine
from ardaemon.experiment.own_records import Records
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.state import load
from ardaemon.host import quarantine
from ardaemon.host.command import Commands
from ardaemon.host.disk import until_cancelled
from ardaemon.pipeline import apply, audit_files, check, decide
from ardaemon.pipeline.check import Checked
from ardaemon.pipeline.ended import Ended, after_checks, as_wanted, gather
from ardaemon.pipeline.facts_keeper import FactsKeeper
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.log_quota import LogQuota
from ardaemon.pipeline.patience import Dropped, Patience
from ardaemon.pipeline.ports import Listener
from ardaemon.pipeline.pruner import Pruner
from ardaemon.pipeline.remeasurer import Remeasurer

MIB = 1 << 20


class Committer:
    """Take flights that have ended to their commit; `measured` brings what was measured to the disk.

    Of one experiment a single decision stands unapplied at any time (`unapplied`). A decision is made against
    the best and the counters on disk, and holds the new counters as numbers, not as steps: of two that were
    made from the same numbers, the second to be applied would undo the count of the first, and both could
    beat the same best. The experiment's lock alone does not keep them apart, because it is given back while
    the disk refuses (see commit()).
    """

    def __init__(
        self,
        engine: Engine,
        listener: Listener,
        quarantine: Path,
        measured: Callable[[Flight], Awaitable[None]],
        patience: Patience,
        pruner: Pruner,
        facts: FactsKeeper,
        log_quota: LogQuota,
        config: LiveConfig,
        records: Records,
        entries: Path,
    ) -> None:
        self.engine, self.listener, self.quarantine = engine, listener, quarantine
        self.measured, self.patience, self.pruner, self.facts = measured, patience, pruner, facts
        self.log_quota, self.config = log_quota, config
        self.records = records
        self.remeasurer = Remeasurer(listener, patience, entries, records)
        self.unapplied: dict[str, Flight] = {}  # by experiment: judged, and not applied yet

    def forget(self, flight: Flight) -> None:
        """Let nobody wait for the decision of a flight that is given up."""
        if self.unapplied.get(str(flight.experiment.folder)) is flight:
            del self.unapplied[str(flight.experiment.folder)]

    async def judge(self, flight: Flight) -> None:
        """Decide, and commit at once; or put the run back in the queue for another attempt."""
        assert flight.exit is not None
        if flight.handle is not None:
            await self.measured(flight)
        ended = await self._read(flight)
        pause = None
        while flight.state == "exited":
            await self._none_unapplied(flight)
            await self.remeasurer.none_before(flight)
            try:
                async with self.patience.alone(flight):
                    if str(flight.experiment.folder) in self.unapplied:
                        continue  # another run was judged while this one waited for the lock
                    await self._decide(flight, ended)
                    return
            except decide.BestFirst as first:
                await self.remeasurer.measured_best(flight, first.seed)
            except decide.ChecksFirst:
                ended = after_checks(ended, await self._checked(flight), flight.exit)
            except (ArdaemonError, OSError) as error:
                pause = await self.patience.pause(flight, error, pause)

    async def _decide(self, flight: Flight, ended: Ended) -> None:
        """Decide, and follow the decision: commit, or put the run back in the queue for another attempt.

        A run that has kept its place for its checks lets go of it.
        """
        under_way = self.remeasurer.under_way(flight.experiment)
        now = as_wanted(ended, flight, under_way, self.remeasurer.launches_beside(flight))
        work = until_cancelled(partial(decide.decide, now, self.records))
        flight.record = await self.patience.once(flight, work)
        if flight.record.settings.checks and not ended.exit.survivors:
            if flight.handle is not None:
                self.engine.forget(flight.handle)  # the GPUs first, before another run wants them
            self.listener.release(flight)
        await self._follow(flight)

    async def _checked(self, flight: Flight) -> Checked | None:
        """Run the session's checks on the run's place; None if they were ended. Raises Dropped.

        Not under the experiment's lock: they may take minutes. Others are committed meanwhile, so the run
        is judged anew after that.
        """
        if flight.dropped:
            raise Dropped
        if flight.handle is not None:
            await self.engine.keep(flight.handle)
        group = flight.checking = Commands()
        flight.blocked = None
        flight.wake()
        try:
            work = partial(check.run_all, partial(check.of_attempt, flight, self.config.now), group)
            return await self.patience.insist(flight, work)
        finally:
            flight.checking = None

    async def _read(self, flight: Flight) -> Ended:
        """Gather what the decision needs; whoever looks at the run meanwhile sees that this is done."""
        flight.reading = True
        try:
            return await self._gathered(flight)
        finally:
            flight.reading = False

    async def _gathered(self, flight: Flight) -> Ended:
        """Gather what the decision needs; where a file of the experiment is broken, put it right before.

        Without the experiment's lock: a metric command may take minutes, and changes nothing of it.
        """
        try:
            whole = until_cancelled(lambda: gather(flight, load(flight.experiment)))
            return await self.patience.once(flight, whole)
        except (ArdaemonError, OSError):  # or somebody was writing in this moment
            current = await self.patience.alone_with(flight, lambda: load_or_repair(flight.experiment))
            return await self.patience.insist(flight, until_cancelled(partial(gather, flight, current)))

    async def _follow(self, flight: Flight) -> None:
        """Do what was decided, alone with the experiment: commit, or put the run back in the queue."""
        if isinstance(flight.record.state, Queued):
            self._queue_again(flight, flight.record.state.before)
            return
        self.unapplied[str(flight.experiment.folder)] = flight
        flight.step("judge")
        await self._apply(flight)

    def _queue_again(self, flight: Flight, before: tuple[AttemptResult, ...]) -> None:
        if flight.handle is not None:
            self.engine.forget(flight.handle)
        flight.step("retry")
        self.listener.tell(flight, RunAgain(why=before[-1].why, attempts=len(before)))

    async def _none_unapplied(self, flight: Flight) -> None:
        """Wait until no other run's decision is left to apply: its counters would overwrite later ones."""
        while (other := self.unapplied.get(str(flight.experiment.folder))) not in (None, flight):
            assert other is not None
            await other.changed.wait()

    async def commit(self, flight: Flight) -> None:
        """Apply what was decided, again and again until it is done.

        The lock is free between two tries, for as long as the disk refuses: the commands by which a person
        mends take the same lock.
        """
        pause = None
        self.unapplied[str(flight.experiment.folder)] = flight
        while flight.state == "judged":
            async with self.patience.alone(flight):
                error = await self._apply(flight)
            if error is not None:
                pause = await self.patience.pause(flight, error, pause)

    async def _apply(self, flight: Flight) -> ArdaemonError | OSError | None:
        """Apply what was decided, once; return what stood in the way, if something did."""
        try:
            assert isinstance(flight.record.state, Judged)
            # Before the commit: afterwards no daemon knows the run any more, and none would keep others away
            # from the place where its survivors live.
            await self.keep_seat(flight, flight.record.state.decision.unclean)
            delivered = self.listener.delivered(flight.experiment.folder)
            flight.promotion.in_use = self.listener.in_use()
            flight.promotion.trusted = self.config.now.trusted
            flight.promotion.report = partial(self._promoting, flight)
            result, checkpoint = await self.patience.once(flight, partial(self._applied, flight, delivered))
            await self._launch_due(flight)  # before the entry goes: a kill in between shall not lose them
            async with flight.writing:  # a wish that is being written now would bring the entry back
                audit_files.finish(flight.entry, flight.record, result)
            # The report knows the flight, which must not wait for the collector then.
            flight.promotion.report = no_report
        except (ArdaemonError, OSError) as error:
            return error
        finally:
            flight.promoting = None
        ended = flight.going.ended if flight.going is not None else None
        ms = None if ended is None else round((time.monotonic() - ended) * 1000, 2)
        self.unapplied.pop(str(flight.experiment.folder), None)
        if flight.handle is not None:
            self.engine.forget(flight.handle)
        flight.blocked, flight.result = None, result
        flight.step("commit")
        if flight.promotion.prune_in_s is not None:
            self.pruner.later(flight.experiment, flight.promotion.prune_in_s)
        self.facts.wake(flight.experiment)
        self.log_quota.committed(flight.experiment, flight.run.run_id)
        self._tell_committed(flight, result, ms)
        if (drift := flight.record.state.decision.drift) != "":
            self.listener.tell(flight, BestDrifted(why=drift))
        if audit_files.is_due(flight.record, result):
            self.listener.will_audit(flight.entry.name, checkpoint)
        return None

    async def _launch_due(self, flight: Flight) -> None:
        if flight.record.settings.verdict == "noise":
            await self.remeasurer.launch_due(flight)

    async def end(self, flight: Flight) -> None:
        """Do the last of a commit that an earlier daemon has applied: its entry goes, its audit comes.

        Raises StorageError.
        """
        result = flight.result
        assert result is not None, "it was committed"
        checkpoint, is_due = "", audit_files.is_due(flight.record, result)
        if is_due:
            look = partial(audit_files.checkpoint_of, flight.experiment, result)
            checkpoint = await self.patience.disks.ask(flight.experiment.project, look)
        if flight.record.settings.verdict == "noise":  # else the entry is gone
            async with self.patience.alone(flight):
                await self._launch_due(flight)
                audit_files.finish(flight.entry, flight.record, result)
        if is_due:
            self.listener.will_audit(flight.entry.name, checkpoint)

    async def keep_seat(self, flight: Flight, unclean: UncleanRecord | None) -> None:
        """Quarantine the seat of what survived its kill, on disk: no restart gives it away."""
        if unclean is None:
            return
        for slot in flight.seat.slots:
            record = Quarantine(
                slot=slot,
                folder=str(flight.experiment.folder),
                run_id=unclean.run_id,
                survivors=unclean.survivors,
                boot_id=unclean.boot_id,
                at=unclean.at,
                cgroup=unclean.cgroup,
            )
            await anyio.to_thread.run_sync(quarantine.keep, self.quarantine, record)
            self.listener.quarantined(slot, quarantine.words(record))

    def _promoting(self, flight: Flight, done: int, total: int) -> None:
        """Say how far the copy is, from its thread; end the copy where the daemon is being stopped."""
        anyio.from_thread.check_cancelled()
        anyio.from_thread.run_sync(self._tell_promoting, flight, done, total)

    def _tell_promoting(self, flight: Flight, done: int, total: int) -> None:
        flight.promoting = f"its checkpoint is copied: {shown(done / MIB)} of {shown(total / MIB)}"
        self.listener.tell(flight, CheckpointCopied(done=done, total=total))
        flight.wake()

    def _applied(self, flight: Flight, delivered: frozenset[str]) -> tuple[Result, str]:
        """Apply what was decided; return what is committed, and the promoted checkpoint."""
        result = self._apply_now(flight, delivered)
        return result, audit_files.checkpoint_of(flight.experiment, result)

    def _apply_now(self, flight: Flight, delivered: frozenset[str]) -> Result:
        try:
            return self._apply_once(flight, delivered)
        except CorruptState:  # broken by a hand since it was judged
            load_or_repair(flight.experiment)
            return self._apply_once(flight, delivered)

    def _apply_once(self, flight: Flight, delivered: frozenset[str]) -> Result:
        return apply.apply(
            flight.experiment, flight.run, flight.record, delivered, flight.promotion, self.records
        )

    def _tell_committed(self, flight: Flight, result: Result, ms: float | None) -> None:
        event = RunCommitted(
            status=result.status,
            verdict=result.verdict,
            value=result.primary.value,
            reason=result.reason,
            terminated_by=result.terminated_by,
            of=flight.record.of or None,
            to_result_ms=ms,
        )
        self.listener.tell(flight, event)
