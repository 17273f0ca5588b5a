"""Runs the hidden audits that wait, one at a time, each on a place of its own: the last in the queue.

A run never waits for an audit that waits, and no verdict for any. An audit that is under way keeps its place
to its end: of two audits the second lets every run that waits go first. What an audit has shown is recorded
once, and then its entry goes; a kill in between has the next daemon look, and run only what is not recorded.
"""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from ardaemon.core.audits import Audits
from ardaemon.core.config import AUDIT_AWAY_S, AUDIT_STARTS
from ardaemon.core.errors import ArdaemonError, CorruptState, Refused, StorageError
from ardaemon.core.events import AuditEnded
from ardaemon.core.layout import Experiment, Host, boot_id
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.model import Quarantine
from ardaemon.gpus.lease import Lease, Taken
from ardaemon.host import quarantine, state
from ardaemon.host.command import Commands
from ardaemon.host.disk import Disks
from ardaemon.machine.leasing import Leasing
from ardaemon.pipeline import audit as audits
from ardaemon.pipeline import audit_files
from ardaemon.pipeline.audit import Audit, Audited
from ardaemon.pipeline.audit_files import Waiting
from ardaemon.pipeline.kept_checkpoints import KeptCheckpoints
from ardaemon.pipeline.patience import RETRY_FIRST_S, RETRY_MOST_S
from ardaemon.queue.board import Board

TakeUp = Callable[[Waiting], Audit]
TOO_OFTEN = (
    f"it was started {AUDIT_STARTS} times, and each time the daemon ended, or the project went away,"
    " before it was over"
)
log = logging.getLogger("ardaemon.run")


class Auditor:
    """Takes the audits that wait to their end; the board shows the scheduler the one that is under way."""

    def __init__(
        self,
        host: Host,
        config: LiveConfig,
        board: Board,
        leasing: Leasing,
        disks: Disks,
        take_up: TakeUp,
        shown: Callable[[Experiment, Audits], None],
        prune: Callable[[Experiment, float], None],
    ) -> None:
        """Start nothing yet. `shown` is told what the audits of an experiment have shown by now.

        `prune` removes, in so many seconds, the checkpoints of former bests that no audit needs any more.
        """
        self.host, self.config, self.board, self.leasing = host, config, board, leasing
        self.disks, self.take_up, self.shown, self.prune = disks, take_up, shown, prune
        self.checkpoints = KeptCheckpoints(board.next_audits, disks)
        self._told: dict[str, str] = {}  # why an audit cannot be made, by its entry's name

    async def loop(self) -> None:
        """Run what waits whenever something does, until cancelled."""
        pause = RETRY_FIRST_S
        while True:
            came = self.board.to_audit_changed
            if await self._round():
                pause = RETRY_FIRST_S
                await came.wait()
            else:
                with anyio.move_on_after(pause):
                    await came.wait()
                pause = min(pause * 2, RETRY_MOST_S)

    async def _round(self) -> bool:
        """Run all that waits; tell whether nothing is left that has to be tried again."""
        names = tuple(self.board.to_audit)
        done = await anyio.to_thread.run_sync(audit_files.brought, self.host.active, names)
        found = await anyio.to_thread.run_sync(audit_files.waiting, self.host.audits_waiting)
        await self._note(found)
        # All at first: those behind may wait for days, and the project may be away again at their turn.
        for one in [await self._back(one) for one in found]:
            try:
                await self._take(one)
            except (ArdaemonError, OSError) as error:  # a disk refuses, and may not for the next one
                self._warn(one, str(error))
                done = False
        return done

    def _warn(self, one: Waiting, why: str) -> None:
        """Log why an audit cannot be made now: once, not with each try."""
        if self._told.get(one.path.name) != why:
            self._told[one.path.name] = why
            facts = {"expr": Path(one.active.folder).name, "run_id": one.active.run_id, "why": why}
            log.warning("audit not made", extra={"facts": facts})

    async def _note(self, found: Sequence[Waiting]) -> None:
        """Have the checkpoints kept of those that an earlier daemon left; each is named as its run."""
        for one in found:
            if one.path.name not in self.board.to_audit:
                experiment = Experiment(Path(one.active.folder))
                place = partial(os.path.realpath, experiment.checkpoints / one.active.run_id)
                with suppress(StorageError):
                    found_at = await self.disks.ask(experiment.project, place)
                    self.board.to_audit[one.path.name] = found_at

    async def _take(self, one: Waiting) -> None:
        """Take one audit to its end, and its entry away.

        Raises StorageError and CorruptState: it is to be tried again.
        """
        await self.checkpoints.keep()
        experiment = Experiment(Path(one.active.folder))
        files = audit_files.of_experiment(self.host.audits, experiment.folder)
        # A file of values that is broken stays for a person to mend, and the audit goes on after that.
        done = await anyio.to_thread.run_sync(audit_files.is_recorded, files, experiment, one.active)
        if not done:
            try:
                await self._require_there(one)
                one = await self._back(one)
                audit = await self.disks.ask(experiment.project, partial(self.take_up, one))
            except (Refused, CorruptState) as error:  # its run is gone: nobody can audit it any more
                value = audits.never_made(one, str(error))
                work = partial(audit_files.record, files, experiment, value)
                await self._record(experiment, value.run_id, work)
            else:
                self._told.pop(one.path.name, None)
                await self._audit(audit)
        self._over(one)
        self.prune(experiment, 0.0)

    def _over(self, one: Waiting) -> None:
        """Forget an audit that is recorded, and its entry."""
        audit_files.over(one)
        self.board.audited(one.path.name)
        self._told.pop(one.path.name, None)
        self.checkpoints.release(one.path.name)

    async def _require_there(self, one: Waiting) -> None:
        """Raise StorageError while the whole project is away; Refused once it is so for too long."""
        if await self._is_there(one):
            return
        home = Path(one.active.folder).parent
        if await anyio.to_thread.run_sync(audit_files.away_s, one) >= AUDIT_AWAY_S:
            raise Refused(f"{home} was away for {AUDIT_AWAY_S / 86400:g} days", "")
        raise StorageError(f"{home} is away", "put it back where it was")

    async def _back(self, one: Waiting) -> Waiting:
        """Return the entry of an audit; if its project is back, write that down first."""
        if one.active.away_since:
            with suppress(StorageError):
                if await self._is_there(one):
                    return await anyio.to_thread.run_sync(audit_files.back, one)
        return one

    async def _is_there(self, one: Waiting) -> bool:
        experiment = Experiment(Path(one.active.folder))
        return await self.disks.ask(experiment.project, partial(audits.is_there, experiment))

    async def _audit(self, audit: Audit) -> None:
        assert audit.waiting is not None
        assert audit.result is not None
        if audit.waiting.active.starts >= AUDIT_STARTS:
            audited = Audited(problem=TOO_OFTEN)
        else:
            audited = await self._run(audit)
        if audited.problem:  # it may have failed by that
            await self._require_there(audit.waiting)
        files = audit_files.of_experiment(self.host.audits, audit.experiment.folder)
        value, primary = audits.value_of(audit, audited), audit.result.primary
        work = partial(audit_files.record, files, audit.experiment, value, primary.name, primary.direction)
        await self._record(audit.experiment, value.run_id, work)
        if audited.printed:
            await anyio.to_thread.run_sync(audit_files.keep_log, files, audit.run.run_id, audited.printed)

    async def _run(self, audit: Audit) -> Audited:
        """Run the audit on its place. Ended by nobody but its deadline and the daemon's end."""
        try:
            lease = await self._placed(audit)
            try:
                return await self._run_there(audit)
            finally:
                lease.close()
        finally:
            self.board.leave(audit)

    async def _placed(self, audit: Audit) -> Lease:
        """Wait until the scheduler gives the audit its place, and lease the GPUs of that."""
        while True:
            self.board.await_place(audit)
            await audit.until(lambda: audit.going is not None)
            lease = await self.leasing.lease(audit.seat)
            if not isinstance(lease, Taken):
                return lease
            self.board.leave(audit)
            await self.leasing.note(lease)
            audit.going = None

    async def _run_there(self, audit: Audit) -> Audited:
        assert audit.waiting is not None
        audit.waiting = await anyio.to_thread.run_sync(audit_files.started, audit.waiting)
        log.info("audit started", extra={"facts": _about(audit)})
        work = partial(audits.run, partial(audits.job_of, audit, self.config.now), Commands())
        audited = await anyio.to_thread.run_sync(work)
        if audited.ended:  # this daemon stops: the next one runs it again
            await anyio.sleep_forever()
        await self._quarantine(audit, audited)
        return audited

    async def _quarantine(self, audit: Audit, audited: Audited) -> None:
        """Keep the place of what survived its kill from everybody, as that of a run."""
        for slot in audit.seat.slots if audited.survivors else ():
            record = Quarantine(
                slot=slot,
                folder=str(audit.experiment.folder),
                run_id=audit.run.run_id,
                survivors=audited.survivors,
                boot_id=boot_id(),
                at=state.now(),
            )
            await anyio.to_thread.run_sync(quarantine.keep, self.host.quarantine, record)
            self.board.quarantined(slot, quarantine.words(record))

    async def _record(self, experiment: Experiment, run_id: str, work: Callable[[], Audits]) -> None:
        """Record what an audit has shown, for as long as the disk refuses: it is not run again for that."""
        pause = RETRY_FIRST_S
        while True:
            try:
                known = await anyio.to_thread.run_sync(work)
                break
            except StorageError as error:
                facts = {"expr": experiment.slug, "why": str(error)}
                log.warning("audit not recorded", extra={"facts": facts})
            await anyio.sleep(pause)
            pause = min(pause * 2, RETRY_MOST_S)
        self.board.announce(experiment, AuditEnded(run_id=run_id))
        self.shown(experiment, known)


def _about(audit: Audit) -> dict[str, str]:
    return {"expr": audit.experiment.slug, "run_id": audit.run.run_id}
