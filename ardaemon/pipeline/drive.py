"""Drive a flight through its stages: launch, watch, judge, commit.

The same loop serves a new run and one that a restarted daemon finds: it goes on from whatever
state the run is in.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio.abc

from ardaemon.core.layout import candidate_number
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.model import Exit, Limit
from ardaemon.engines.base import Engine
from ardaemon.experiment import session
from ardaemon.experiment.locks import Locks
from ardaemon.experiment.started_here import StartedHere
from ardaemon.host import durable, state
from ardaemon.host.disk import Disks
from ardaemon.pipeline.commit import Committer
from ardaemon.pipeline.facts_keeper import FactsKeeper
from ardaemon.pipeline.flight import Flight, Going
from ardaemon.pipeline.launch import Launcher
from ardaemon.pipeline.log_quota import LogQuota
from ardaemon.pipeline.outcome import unclean_of
from ardaemon.pipeline.patience import Patience
from ardaemon.pipeline.ports import Listener, Machine
from ardaemon.pipeline.pruner import Pruner
from ardaemon.pipeline.watch import Watcher


class Driver:
    """Take flights to their commit: put the stages together, and go through them."""

    def __init__(
        self,
        engine: Engine,
        config: LiveConfig,
        locks: Locks,
        listener: Listener,
        background: anyio.abc.TaskGroup,
        quarantine: Path,
        machine: Machine,
        disks: Disks,
        started_here: StartedHere,
        facts: FactsKeeper,
        log_quota: LogQuota,
        limit: Callable[[Flight, Limit], None],
        entries: Path,
    ) -> None:
        """Take the parts of the daemon that it works with; `limit` ends a run that passed one.

        `entries` is the folder of the active entries.
        """
        self.engine, self.machine = engine, machine
        self.patience = patience = Patience(locks, listener, background, disks, log_quota.refused)
        self.pruner = pruner = Pruner(locks, listener.in_use, background, disks)
        self.watcher = Watcher(engine, listener, background, machine, patience, limit)
        self.launcher = Launcher(engine, config, machine, self.watcher, patience, started_here)
        self.committer = Committer(
            engine,
            listener,
            quarantine,
            self.watcher.measured,
            patience,
            pruner,
            facts,
            log_quota,
            config,
            started_here.records,
            entries,
        )

    async def drive(self, flight: Flight) -> None:
        """Go on until the run is committed, or is back in the queue.

        Each turn looks at the state alone, never at what the turn before did: so a run that a restarted
        daemon finds enters in the middle. A launch that cannot be made now leaves the run in the queue. There
        the drive ends, the scheduler frees the place, and the run has its turn again. If its end is wanted by
        then, the next turn has it judged as cancelled instead.
        """
        while flight.state != "committed":
            match flight.state:
                case "queued" if flight.is_cut_off:
                    await self._cut_off(flight)
                case "queued":
                    await self.launcher.launch(flight)
                case "launching" | "running":
                    await self.watcher.watch(flight)
                case "exited":
                    await self.committer.judge(flight)
                case "judged":
                    await self.committer.commit(flight)
            if flight.state == "queued" and flight.goes_on():
                return

    async def _cut_off(self, flight: Flight) -> None:
        """End a run by its last launch: there is no other one, for its session is over."""
        path = flight.run.attempt(flight.attempts).exit
        end = await self.patience.insist(flight, lambda: (state.read(path, Exit),))
        flight.going = Going(cut_off=True)
        flight.end_as(end[0] or Exit(ending="lost"))
        flight.step("cancelled")

    async def give_up(self, flight: Flight) -> None:
        """Let go of a flight whose folder is gone, and of its entry; its id is not given away again.

        The entry goes last but for what is in memory: a kill before that has the next daemon do it all again.
        Raises ArdaemonError and OSError where it has to be tried again.
        """
        remember = partial(session.remember_run, flight.experiment, candidate_number(flight.run.run_id))
        async with self.patience.alone(flight):
            await self.patience.once(flight, remember)
        going = flight.going or Going()
        if going.exit is not None:
            slots, stamp = going.seat.slots, state.now()
            unclean = unclean_of(flight.run.run_id, going.exit, slots, going.boot_id, stamp)
            await self.committer.keep_seat(flight, unclean)
        durable.remove(flight.entry)
        self.committer.forget(flight)
        self.machine.discard(flight)
