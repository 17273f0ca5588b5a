"""Have the best launched once more where the noise verdict asks for it, and let verdicts wait for that."""

import logging
from functools import partial
from pathlib import Path

import anyio
from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Best
from ardaemon.experiment.own_records import Records
from ardaemon.experiment.repair import load_or_repair
from ardaemon.host import state
from ardaemon.pipeline import measures
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.measures import FIRST, LATER
from ardaemon.pipeline.patience import Dropped, Patience, first
from ardaemon.pipeline.ports import Listener

log = logging.getLogger("ardaemon.run")
AT_WORK = ("launching", "running", "exited")


class Remeasurer:
    """Puts launches of the best on the board; `entries` is the folder of the active entries."""

    def __init__(self, listener: Listener, patience: Patience, entries: Path, records: Records) -> None:
        self.listener, self.patience = listener, patience
        self.entries, self.records = entries, records

    async def measured_best(self, flight: Flight, seed: int) -> None:
        """Return when the best has been launched with that seed, or when the flight shall wait no longer.

        It goes first in the queue: a verdict waits for it.
        """
        if flight.dropped:
            raise Dropped
        best = await self.patience.alone_with(flight, lambda: load_or_repair(flight.experiment).best)
        if best is None:
            return
        other = measures.under_way(self.listener, flight.experiment, best.run_id, seed)
        if other is None:
            other = await self._laid_out(flight, best, seed, FIRST)
        elif other.active.front < FIRST and other.goes_on():
            await self._bring_forward(other)
        if other is not None:
            await self._until_committed(flight, other)
        else:  # it was committed before
            await self.patience.alone_with(flight, partial(measures.recall, flight.experiment, seed))

    async def _until_committed(self, flight: Flight, other: Flight) -> None:
        flight.comparing = f"the best is launched once more first ({other.run.run_id})"
        flight.wake()
        self.listener.wake()
        try:
            while other.state != "committed" and not other.dropped:
                if not flight.goes_on() or flight.session_over or flight.dropped:
                    return
                await first(flight.changed.wait, other.changed.wait)
        finally:
            flight.comparing = None

    async def none_before(self, flight: Flight) -> None:
        """Wait until no earlier candidate is on another launch, or waits for one of the best.

        What it shows is known to the next one's verdict then. One that keeps its place for its checks waits
        for nobody: the launch may need that place.
        """
        while (other := self._confirming(flight)) is not None and flight.goes_on():
            await first(flight.changed.wait, other.changed.wait)

    def _confirming(self, flight: Flight) -> Flight | None:
        if flight.record.settings.verdict != "noise" or flight.record.of or flight.keeps_place:
            return None
        for other in self.listener.of(flight.experiment):
            earlier = other.active.seq < flight.active.seq and not other.record.of
            confirms = bool(other.before) and other.before[-1].why == "confirm"
            if earlier and confirms and other.state in AT_WORK and other.blocked is None:
                return other
        return None

    def under_way(self, experiment: Experiment) -> frozenset[str]:
        """Return the names of the launches that will tell of a judged version, sooner or later."""
        flights = self.listener.of(experiment)
        return frozenset(one.run.run_id for one in flights if one.record.of and not one.dropped)

    def launches_beside(self, flight: Flight) -> int:
        """Return how many launches of its session are in no counter yet, its own left out."""
        others = (one for one in self.listener.of(flight.experiment) if one is not flight)
        of_session = (one for one in others if one.record.epoch == flight.record.epoch)
        return sum(one.attempts for one in of_session if one.state != "committed")

    async def launch_due(self, flight: Flight) -> None:
        """Launch the best as often as the noise verdict needs it before any candidate asks for it.

        What fails here is asked for again by the next candidate's verdict.
        """
        try:
            due = await self.patience.once(flight, partial(measures.due, flight.experiment))
            for seed in due[1] if due is not None else ():
                assert due is not None
                if measures.under_way(self.listener, flight.experiment, due[0].run_id, seed) is None:
                    await self._laid_out(flight, due[0], seed, LATER)
        except (ArdaemonError, OSError) as error:
            where = {"expr": flight.experiment.slug, "run_id": flight.run.run_id, "why": str(error)}
            log.warning("best not launched", extra={"facts": where})

    async def _laid_out(self, like: Flight, best: Best, seed: int, front: int) -> Flight | None:
        """Put a launch on disk, then on the board; None where it is committed already."""
        seq = self.listener.next_seq()
        launch = measures.of_best(like, best, seed)
        work = partial(measures.lay_out, like.experiment, launch, self.entries, seq, self.records, front)
        done = await self.patience.once(like, work)
        if done is None:
            return None
        return measures.put_on(self.listener, like.experiment, done, like.peaks)

    async def _bring_forward(self, other: Flight) -> None:
        """Let it go first; it gives way to no run any more."""
        other.active = replace(other.active, front=FIRST)
        self.listener.wake()
        async with other.writing:
            if other.state != "committed":
                await anyio.to_thread.run_sync(state.write, other.entry, other.active, 0o600)
