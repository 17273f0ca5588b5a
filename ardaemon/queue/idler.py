"""The loop that has idle places launch the best once more, in sessions with --measure-noise.

It sleeps until the board changes, or until the one moment from which on a place counts as idle. What it lays
out is a run in the queue like any other, but the last of all: the scheduler gives it a place, or none.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, measure_name
from ardaemon.core.lifecycle import State
from ardaemon.core.queue import IDLE
from ardaemon.core.run_record import Queued
from ardaemon.pipeline import audit_files, measures
from ardaemon.pipeline.flight import Flight
from ardaemon.pipeline.idle import Like, Plan
from ardaemon.pipeline.idle_files import IdleFiles
from ardaemon.pipeline.measures import OneMore
from ardaemon.queue import facts as queue_facts
from ardaemon.queue.assign import assign
from ardaemon.queue.board import Board
from ardaemon.queue.control import Control
from ardaemon.queue.handing_over import HandingOver

log = logging.getLogger("ardaemon.run")


@dataclass
class Known:
    """An experiment whose idle places may be of use."""

    experiment: Experiment
    like: Like | None  # None: no run of it has told yet
    plan: Plan | None = None
    stale: bool = True  # its files have changed since the plan was made
    since: float = field(default_factory=time.monotonic)  # when it last had a candidate
    handing_over: HandingOver = field(default_factory=HandingOver)
    asked_for: bool = False  # another daemon has asked for its project, and no run was begun here since


def are_at_work(candidates: Sequence[State]) -> bool:
    """Tell whether no candidate waits for a place, or for a verdict that may need one."""
    return all(state in ("launching", "running") for state in candidates)


def are_judged(launches: Sequence[State]) -> bool:
    """Tell whether all is known of the launches that have ended: by that follows which is to be next."""
    return not any(state in ("exited", "judged") for state in launches)


def idle_in(candidates: Sequence[State], plan: Plan, idle_s: float) -> float:
    """Return in how many seconds a free place counts as idle. Pure."""
    return 0.0 if candidates or plan.at_once else max(0.0, plan.after_s - idle_s)


class Idler:
    """Lay out launches for idle places, and end those whose values nobody can use any more."""

    def __init__(self, board: Board, control: Control, files: IdleFiles) -> None:
        self.board, self.control, self.files = board, control, files
        self.known: dict[Path, Known] = {}

    def note(self, flight: Flight) -> None:
        """Remember how a run was launched, for the idle launches after it; its experiment has changed."""
        folder = flight.experiment.folder
        if not flight.record.settings.measure_noise and folder not in self.known:
            return
        known = self.known.setdefault(folder, Known(flight.experiment, None))
        known.like, known.stale = Like(flight.active, flight.record), True
        if not flight.record.of:
            known.since, known.asked_for = time.monotonic(), False

    def committed(self, flight: Flight) -> None:
        """Note a run that is committed; its entry stays here for a launch that follows."""
        self.note(flight)
        if flight.result is not None and audit_files.is_handed_on(flight.record, flight.result):
            self.known[flight.experiment.folder].handing_over.add(flight.entry)

    def session(self, experiment: Experiment, wanted: bool, like: Like | None = None) -> None:
        """Take up a session that was started, changed or stopped; `like`: how its runs are launched."""
        known = self.known.get(experiment.folder)
        if known is None and wanted:
            known = self.known[experiment.folder] = Known(experiment, None)
        if known is not None:
            known.like, known.stale, known.asked_for = like or known.like, True, False
        self.board.wake()

    def hand_over(self, project: Path) -> None:
        """End the launches for idle places of a project that another daemon asks for.

        None is begun there before the next run or session of this daemon: it would keep the other one out.
        """
        for known in self.known.values():
            if known.experiment.project == project:
                known.asked_for = True
        for flight in list(self.board.flights.values()):
            if flight.is_idle and flight.experiment.project == project:
                self.control.give_way(flight)

    def forget(self, experiment: Experiment) -> None:
        """Keep nothing in memory of an experiment that has left its folder."""
        known = self.known.pop(experiment.folder, None)
        if known is not None:
            known.handing_over.settle(False)

    async def loop(self) -> None:
        """Look at all that is known whenever something has changed, for ever."""
        for flight in self.board.flights.values():
            self.note(flight)
        while True:
            changed = self.board.changed
            self._end_what_is_over()
            looks = [await self._look(known) for known in list(self.known.values())]
            waits = [wait for look in looks for wait in look]
            soonest = min((wait for wait in waits if wait is not None), default=None)
            with anyio.move_on_after(soonest):
                await changed.wait()

    def _end_what_is_over(self) -> None:
        """End idle launches of sessions that are over: nothing would ever start those that wait."""
        for flight in [flight for flight in self.board.flights.values() if flight.is_idle]:
            if flight.session_over:
                self.control.give_way(flight)

    async def _look(self, known: Known) -> tuple[float | None, float | None]:
        """Use the experiment's idle places; return in how many seconds to look again if nothing changes."""
        if known.stale and known.like is not None and not known.asked_for and self._may_be_idle(known):
            await self._plan(known, known.like)
        self._end_what_is_outdated(known)
        wait = self._idle_in(known)
        if wait == 0.0:
            for launch in self._fitting(known):
                if known.plan is None:
                    break  # the one before could not be laid out
                await self._begin(known, launch)
        return wait or None, known.handing_over.settle(self._follows(known, wait))

    def _follows(self, known: Known, wait: float | None) -> bool:
        """Tell whether a launch may be laid out at once that needs the environment of a committed run.

        A run on the board has its own entry, and hands on its own environment.
        """
        if known.asked_for:
            return False
        return (known.stale or wait == 0.0) and not self.board.of(known.experiment)

    def _may_be_idle(self, known: Known) -> bool:
        launches = [flight.state for flight in self.board.of(known.experiment) if flight.record.of]
        return are_at_work(self._candidates(known)) and are_judged(launches)

    def _candidates(self, known: Known) -> list[State]:
        return [flight.state for flight in self.board.candidates(known.experiment)]

    def _idle_in(self, known: Known) -> float | None:
        candidates = self._candidates(known)
        if candidates:
            known.since = time.monotonic()
        if known.plan is None or known.asked_for or not self._may_be_idle(known):
            return None
        return idle_in(candidates, known.plan, time.monotonic() - known.since)

    async def _plan(self, known: Known, like: Like) -> None:
        known.stale = False
        try:
            known.plan = await self.files.plan(known.experiment, like)
        except (ArdaemonError, OSError) as error:
            self._log(known, error)
            known.plan = None

    def _end_what_is_outdated(self, known: Known) -> None:
        """End idle launches of a version that is the best no more, and those that a run has overtaken."""
        best = {launch.of for launch in known.plan.launches} if known.plan is not None else None
        at_work = are_at_work(self._candidates(known))
        for flight in [flight for flight in self.board.of(known.experiment) if flight.is_idle]:
            outdated = best is not None and flight.record.of not in best
            if outdated or (self.board.placement.is_waiting(flight) and not at_work):
                self.control.give_way(flight)

    def _fitting(self, known: Known) -> list[OneMore]:
        """Return the launches that would start now: those for which a place is free that nobody else gets."""
        assert known.plan is not None
        seen = queue_facts.gather(self.board, time.monotonic(), strict=False)
        probes = {}
        for launch in known.plan.launches:
            if measures.under_way(self.board, known.experiment, launch.of, launch.seed, launch.time) is None:
                flight = _probe(known.experiment, launch)
                probes[flight.key] = (queue_facts.waiting(flight, self.board), launch)
        waiting = (*seen.waiting, *(run for run, _ in probes.values()))
        starts = assign(replace(seen, waiting=waiting)).starts
        return [probes[start.key][1] for start in starts if start.key in probes]

    async def _begin(self, known: Known, launch: OneMore) -> None:
        """Lay the launch out and put it on the board, unless something has changed meanwhile."""
        plan = known.plan
        assert plan is not None
        assert known.like is not None, "the plan was made with it"

        def still() -> bool:
            return not known.stale and known.plan is plan and self._idle_in(known) == 0.0

        try:
            done = await self.files.lay_out(known.experiment, known.like, launch, still)
        except (ArdaemonError, OSError) as error:
            self._log(known, error)
            known.plan = None  # until the next run
            return
        if done is not None:
            measures.put_on(self.board, known.experiment, done)
        else:
            known.stale = True

    @staticmethod
    def _log(known: Known, error: Exception) -> None:
        where = {"expr": known.experiment.slug, "why": str(error)}
        log.warning("idle place not used", extra={"facts": where})


def _probe(experiment: Experiment, launch: OneMore) -> Flight:
    """Return the launch as a run that waits, to ask where it would start; it is on no disk and no board."""
    run = experiment.run(measure_name(launch.of, launch.seed, launch.time))
    record = replace(launch.like, run_id=run.run_id, of=launch.of, measure=True, idle=True, state=Queued())
    active = replace(launch.active, run_id=run.run_id, priority=0, front=IDLE, held=False, wanted="run")
    return Flight(experiment, run, active, record, Path())
