"""Recovery at the start: every active run goes on from where it was.

Nothing is remembered of the daemon before: the folder of active entries names the runs, run.json says how far
the pipeline was with each, and the engine says what became of the job, by locks that the kernel holds. Each
run is put on the board in that state and driven on by the same loops as a new one. So there is no second path
through the pipeline that only a crash would try, and a kill during recovery is followed by the same recovery.

A run that cannot be read is never guessed at: it is stranded, its entry stays, and it is looked for again.
"""

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread

from ardaemon.core.config import ATTEMPTS_MAX
from ardaemon.core.errors import ArdaemonError, OwnedElsewhere, StorageError
from ardaemon.core.layout import Experiment, Host, Project, Run
from ardaemon.core.queue import Stranded
from ardaemon.engines.base import Engine, FolderAway
from ardaemon.experiment.locks import Locks
from ardaemon.experiment.started_here import StartedHere
from ardaemon.host import durable
from ardaemon.host.disk import Disks
from ardaemon.pipeline.facts_keeper import FactsKeeper
from ardaemon.pipeline.flight import Flight
from ardaemon.queue.board import Board
from ardaemon.taking_up import Entry, TakenUp, TakingUp, about, read

# There is no event for "the project is back".
LOOK_FIRST_S, LOOK_MOST_S = 1.0, 60.0
LOCKS_S = 20.0  # for a change of the same experiment to be over

log = logging.getLogger("ardaemon.recovery")


End = Callable[[Flight], Awaitable[None]]


class Recovered(NamedTuple):
    """The active entries that are no flight, by why."""

    stranded: list[Path]  # of runs that are away
    removed: list[tuple[Path, Run]]  # of runs whose folder was removed
    finished: list[Experiment]  # of runs that are committed by now: their experiments


async def recover(
    board: Board,
    engine: Engine,
    disks: Disks,
    locks: Locks,
    started_here: StartedHere,
    end: End,
    entries: list[Path],
) -> Recovered:
    """Put every active run on the board, for the scheduler to drive on; return the others.

    A run that was judged is committed here, before anybody else may change its experiment. The id of one
    that was removed is written down here, before anybody can submit another. When a project is back later,
    others may change it at the same time: so this is alone with its experiments. The runs of a project whose
    disk does not answer are stranded, and nobody else gets at that disk before the thread that hangs is back.
    So are those of a project that another daemon owns: they are looked at again. `end` does the last of a
    commit that was applied.
    """
    found = await anyio.to_thread.run_sync(read, entries)
    arriving = [
        str(entry.folder) for entry in found if entry.active and entry.path.name not in board.stranded
    ]
    board.arriving.update(arriving)
    taking_up = _by_project(found, engine, started_here)
    taken_up: list[TakenUp] = []
    async with anyio.create_task_group() as tasks:
        for project in taking_up:
            tasks.start_soon(_take_up, project, disks, locks, taken_up)
    _add(board, engine, taken_up)
    board.arriving.clear()
    left = {entry: why for taken in taken_up for entry, why in taken.stranded.items()}
    for entry in entries:
        board.stranded.pop(entry.name, None)
    board.stranded.update({entry.name: why for entry, why in left.items()})
    for flight in (flight for taken in taken_up for flight in taken.finished):
        await _end(flight, end)
    return Recovered(
        stranded=list(left),
        removed=[removed for taken in taken_up for removed in taken.removed],
        finished=[flight.experiment for taken in taken_up for flight in taken.finished],
    )


async def _end(flight: Flight, end: End) -> None:
    """Do the last of a commit; what cannot be done now is left to the next daemon, with the entry."""
    try:
        await end(flight)
    except (ArdaemonError, OSError) as error:
        log.warning("not yet", extra={"facts": {**about(flight), "why": str(error)}})


async def _take_up(project: TakingUp, disks: Disks, locks: Locks, taken_up: list[TakenUp]) -> None:
    """Take up one project's runs, alone with their experiments, some at a time: each is a question."""
    left = [entry.path for entry in project.entries]
    try:
        async with _alone(locks, {Project(project.project).home, *project.folders}):  # its chain's, too
            for some in project.some():
                work = partial(disks.owned, project.project, partial(project.take, some))
                taken_up.append(await disks.ask(project.project, work))
                del left[: len(some)]
    except TimeoutError:
        busy = Stranded("a change of its experiment takes long", "the daemon looks again by itself")
        taken_up.append(TakenUp([], [], [], dict.fromkeys(left, busy)))
    except (StorageError, OwnedElsewhere) as error:
        log.warning("stranded", extra={"facts": {"project": str(project.project), "why": error.message}})
        stranded = dict.fromkeys(left, Stranded(error.message, error.mend))
        taken_up.append(TakenUp([], [], [], stranded))


@contextlib.asynccontextmanager
async def _alone(locks: Locks, folders: set[Path]) -> AsyncIterator[None]:
    """Hold the locks of all these experiments; nobody else ever holds those of two. Raises TimeoutError."""
    async with contextlib.AsyncExitStack() as stack:
        with anyio.fail_after(LOCKS_S):
            for folder in sorted(folders):
                await stack.enter_async_context(locks.of(folder))
        yield


def _by_project(entries: list[Entry], engine: Engine, started_here: StartedHere) -> list[TakingUp]:
    """Group the entries by project."""
    projects: dict[Path, list[Entry]] = {}
    for entry in entries:
        projects.setdefault(entry.project, []).append(entry)
    return [TakingUp(project, some, engine, started_here) for project, some in projects.items()]


def _add(board: Board, engine: Engine, taken_up: list[TakenUp]) -> None:
    """Put the flights that are not finished on the board, in the order of their submits."""
    flights = [flight for taken in taken_up for flight in taken.flights]
    finished = {flight.key for taken in taken_up for flight in taken.finished}
    _look_for_strangers(board, engine, flights)
    for flight in sorted(flights, key=lambda flight: flight.active.seq):
        if flight.key in finished:
            continue
        board.add(flight)
        if flight.state != "queued" or flight.active.wanted != "run":
            board.placement.occupy_any(flight)
        log.info("found", extra={"facts": about(flight)})


def entries(host: Host) -> list[Path]:
    """List the active entries on disk, one for each run that is not committed."""
    return sorted(host.active.glob("*.json"))


async def keep_looking(
    board: Board,
    engine: Engine,
    disks: Disks,
    locks: Locks,
    started_here: StartedHere,
    end: End,
    facts: FactsKeeper,
    left: Recovered,
) -> None:
    """Take up a run whose project was away (an unmounted disk, a moved folder) when it is back.

    Have the facts kept of the runs that were committed as they were taken up.
    """
    pause = LOOK_FIRST_S
    while True:
        for entry, run in left.removed:
            await _end_removed(engine, entry, run)
        for experiment in left.finished:
            facts.wake(experiment)
        if not left.stranded:
            return
        await anyio.sleep(pause)
        pause = min(pause * 2, LOOK_MOST_S)
        there = [entry for entry in left.stranded if os.path.lexists(entry)]
        for entry in {*left.stranded}.difference(there):  # a person has moved it away
            board.stranded.pop(entry.name, None)
        left = await recover(board, engine, disks, locks, started_here, end, there)
        board.wake()


async def _end_removed(engine: Engine, entry: Path, run: Run) -> None:
    """End what lives of a run whose folder was removed; it counts as a stranger, with a slot, until then."""
    facts = {"run_id": run.run_id, "folder": str(run.folder)}
    # A run that was confirmed has had more: of these one at most lives, and the engine sees it.
    seen = {stranger.attempt for stranger in engine.strangers(()) if stranger.run == run.run_id}
    for attempt in sorted({*range(1, ATTEMPTS_MAX + 1), *seen}):
        handle = engine.handle(run, attempt)
        try:
            await engine.stop(handle)
            await engine.ended(handle)
        except FolderAway:
            continue  # nothing of it lives
        except (ArdaemonError, OSError) as error:  # the entry stays, for the next daemon
            log.warning("not ended", extra={"facts": {**facts, "why": str(error)}})
            return
    durable.remove(entry)
    log.info("dropped", extra={"facts": {**facts, "why": "its folder is gone"}})


async def keep_counting(board: Board, engine: Engine) -> None:
    """Count as a stranger what runs without being a run of ours: it takes a slot until it ends."""
    while board.placement.strangers:
        await anyio.sleep(LOOK_FIRST_S)  # a lock's release tells nobody but who waits for it in a thread
        _look_for_strangers(board, engine, [])


def _look_for_strangers(board: Board, engine: Engine, arriving: list[Flight]) -> None:
    """Note what runs without being a run of ours; `arriving` are about to be on the board."""
    flights = [*board.flights.values(), *arriving]
    strangers = engine.strangers([f.handle for f in flights if f.handle is not None])
    if strangers != board.placement.strangers:
        board.placement.strangers = strangers
        board.wake()
