"""Recovery at the start: every active run goes on from where it was.

Nothing is remembered of the daemon before: the folder of active entries names the runs, run.json says how far
the pipeline was with each, and the engine says what became of the job, by locks that the kernel holds. Each
run is put on the board in that state and driven on by the same loops as a new one. So there is no second path
through the pipeline that only a crash would try, and a kill during recovery is followed by the same recovery.

A run that cannot be read is never guessed at: it is stranded, its entry stays, and it is looked for again.
"""

import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio
import msgspec

from ardaemon.core.config import ATTEMPTS_MAX
from ardaemon.core.errors import ArdaemonError, OwnedElsewhere, StorageError
from ardaemon.core.layout import Experiment, Host, Project, Run, run_number
from ardaemon.core.model import Session
from ardaemon.core.queue import Stranded
from ardaemon.core.run_record import Active, Judged, Launching, RunRecord, with_limits
from ardaemon.engines.base import Engine, FolderAway
from ardaemon.experiment import chaining, history, ready, session
from ardaemon.experiment.locks import Locks
from ardaemon.experiment.own_records import OwnRecords
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import is_removed
from ardaemon.host import durable, state
from ardaemon.host.disk import Disks
from ardaemon.pipeline import apply, submit
from ardaemon.pipeline.facts_keeper import FactsKeeper
from ardaemon.pipeline.flight import Flight
from ardaemon.queue.board import Board

# There is no event for "the project is back".
LOOK_FIRST_S, LOOK_MOST_S = 1.0, 60.0
LOCKS_S = 20.0  # for a change of the same experiment to be over, and the disk to answer

log = logging.getLogger("ardaemon.recovery")


class Recovered(NamedTuple):
    """The active entries that are no flight, by why."""

    stranded: list[Path]  # of runs that are away
    removed: list[tuple[Path, Run]]  # of runs whose folder was removed
    finished: list[Experiment]  # of runs that are committed by now: their experiments


class _TakenUp(NamedTuple):
    """The runs that the active entries of one project lead to, by how they stand."""

    flights: list[Flight]  # all that could be read
    finished: list[Flight]  # those of them that are committed by now
    removed: list[tuple[Path, Run]]
    stranded: dict[Path, Stranded]


async def recover(
    board: Board, engine: Engine, disks: Disks, locks: Locks, started_here: StartedHere, entries: list[Path]
) -> Recovered:
    """Put every active run on the board, for the scheduler to drive on; return the others.

    A run that was judged is committed here, before anybody else may change its experiment. The id of one
    that was removed is written down here, before anybody can submit another. When a project is back later,
    others may change it at the same time: so this is alone with its experiments. The runs of a project whose
    disk does not answer are stranded, and nobody else gets at that disk before the thread that hangs is back.
    So are those of a project that another daemon owns: they are looked at again.
    """
    projects = _by_project(entries)
    projects_taken: list[_TakenUp] = []

    async def take_up(project: Path) -> None:
        there = [entry for entry, _ in projects[project]]
        work = partial(_take_up, project, there, engine, started_here)
        try:
            with anyio.fail_after(LOCKS_S):
                home = Project(project).home  # its chain's
                async with _alone(locks, {home, *(folder for _, folder in projects[project])}):
                    projects_taken.append(await disks.ask(project, partial(disks.owned, project, work)))
        except TimeoutError:
            busy = Stranded("a change of its experiment takes long", "the daemon looks again by itself")
            projects_taken.append(_TakenUp([], [], [], dict.fromkeys(there, busy)))
        except (StorageError, OwnedElsewhere) as error:
            log.warning("stranded", extra={"facts": {"project": str(project), "why": error.message}})
            stranded = dict.fromkeys(there, Stranded(error.message, error.mend))
            projects_taken.append(_TakenUp([], [], [], stranded))

    async with anyio.create_task_group() as tasks:
        for project in projects:
            tasks.start_soon(take_up, project)
    _add(board, engine, projects_taken)
    left = {entry: why for taken in projects_taken for entry, why in taken.stranded.items()}
    for entry in entries:
        board.stranded.pop(entry.name, None)
    board.stranded.update({entry.name: why for entry, why in left.items()})
    return Recovered(
        stranded=list(left),
        removed=[removed for taken in projects_taken for removed in taken.removed],
        finished=[flight.experiment for taken in projects_taken for flight in taken.finished],
    )


@contextlib.asynccontextmanager
async def _alone(locks: Locks, folders: set[Path | None]) -> AsyncIterator[None]:
    """Hold the locks of all these experiments; nobody else ever holds those of two."""
    async with contextlib.AsyncExitStack() as stack:
        for folder in sorted(folder for folder in folders if folder is not None):
            await stack.enter_async_context(locks.of(folder))
        yield


def _folder_of(entry: Path) -> Path | None:
    """Return the experiment's folder that an entry names; None if the entry cannot be read."""
    with contextlib.suppress(ArdaemonError, OSError):
        active = state.read(entry, Active)
        return Path(active.folder) if active is not None else None
    return None


def _by_project(entries: list[Path]) -> dict[Path, list[tuple[Path, Path | None]]]:
    """Group the entries, each with its experiment's folder, by project.

    Those that cannot be read have no folder, and are grouped by where they are.
    """
    projects: dict[Path, list[tuple[Path, Path | None]]] = {}
    for entry in entries:
        folder = _folder_of(entry)
        project = Experiment(folder).project if folder is not None else entry.parent
        projects.setdefault(project, []).append((entry, folder))
    return projects


def _take_up(project: Path, entries: list[Path], engine: Engine, started_here: StartedHere) -> _TakenUp:
    """Read what the entries of one project lead to, and finish what was judged. For a thread."""
    chaining.settle_alone(Project(project))  # before a run starts whose session has ended with that
    stranded: dict[Path, Stranded] = {}
    removed = [(entry, run) for entry in entries if (run := _removed(entry)) is not None]
    gone = {entry for entry, _ in removed}
    there = [entry for entry in entries if entry not in gone]
    for folder in {folder for entry in there if (folder := _folder_of(entry)) is not None}:
        with contextlib.suppress(ArdaemonError):  # it is read again, and told of, with its runs
            started_here.adopt(Experiment(folder))
    records = started_here.records
    read = [flight for entry in there if (flight := _read(entry, stranded, engine, records)) is not None]
    read.sort(key=lambda flight: flight.active.seq)
    return _TakenUp(read, [flight for flight in read if _finished(flight, records)], removed, stranded)


def _add(board: Board, engine: Engine, projects_taken: list[_TakenUp]) -> None:
    """Put the flights that are not finished on the board, in the order of their submits."""
    flights = [flight for taken in projects_taken for flight in taken.flights]
    finished = {flight.key for taken in projects_taken for flight in taken.finished}
    _look_for_strangers(board, engine, flights)
    for flight in sorted(flights, key=lambda flight: flight.active.seq):
        if flight.key in finished:
            continue
        board.add(flight)
        if flight.state != "queued" or flight.active.wanted != "run":
            board.placement.occupy_any(flight)
        log.info("found", extra={"facts": _facts(flight)})


def entries(host: Host) -> list[Path]:
    """List the active entries on disk, one for each run that is not committed."""
    return sorted(host.active.glob("*.json"))


async def keep_looking(
    board: Board,
    engine: Engine,
    disks: Disks,
    locks: Locks,
    started_here: StartedHere,
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
        there = [entry for entry in left.stranded if entry.exists()]
        left = await recover(board, engine, disks, locks, started_here, there)
        board.wake()


async def _end_removed(engine: Engine, entry: Path, run: Run) -> None:
    """End what lives of a run whose folder was removed; it counts as a stranger, with a slot, until then."""
    facts = {"run_id": run.run_id, "folder": str(run.folder)}
    for attempt in range(1, ATTEMPTS_MAX + 1):
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


def _removed(entry: Path) -> Run | None:
    """Return the run of that entry if its folder was removed, once its id is on disk as used."""
    try:
        if (named := _run_of(entry)) is None:
            return None
        _, experiment, run = named
        if not is_removed(experiment, run):
            return None
        session.remember_run(experiment, run_number(run.run_id))
        return run
    except (ArdaemonError, OSError, msgspec.MsgspecError) as error:
        log.warning("unreadable", extra={"facts": {"entry": entry.name, "why": str(error)}})
        return None  # it is read again, and told of, with the others


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


def _run_of(entry: Path) -> tuple[Active, Experiment, Run] | None:
    """Read an active entry, and say whose it is; None if it is gone."""
    active = state.read(entry, Active)
    if active is None:
        return None
    experiment = Experiment(Path(active.folder))
    return active, experiment, experiment.run(active.run_id)


def _read(entry: Path, stranded: dict[Path, Stranded], engine: Engine, records: OwnRecords) -> Flight | None:
    """Return the flight of an entry; None if it is gone, or (then it is among the `stranded`) unreadable."""
    try:
        if (named := _run_of(entry)) is None:
            return None
        active, experiment, run = named
        record = records.of_entry(run, active)
        if record is not None:
            return _resumed(Flight(experiment, run, active, record, entry), engine)
        log.warning("stranded", extra={"facts": {"entry": entry.name, "folder": active.folder}})
        why = f"it waits for its record, which is away ({run.record})"
        stranded[entry] = Stranded(why, "put it back where it was")
        return None
    except (ArdaemonError, OSError, msgspec.MsgspecError) as error:
        log.warning("unreadable", extra={"facts": {"entry": entry.name, "why": str(error)}})
        mend = error.mend if isinstance(error, ArdaemonError) else ""
        stranded[entry] = Stranded(str(error), mend or "put back a copy of it")
        return None


def _resumed(flight: Flight, engine: Engine) -> Flight:
    """Bring a flight to where its files say that it is."""
    folders = (flight.experiment.folder, flight.run.folder, *flight.run.folder.glob("a[0-9]*"))
    for folder in (*folders, flight.entry.parent):
        durable.sweep(folder)
    flight.resume_from_record()
    if flight.handle is not None:
        engine.check(flight.handle)
    session = _session(flight.experiment)
    # Where it cannot be read, it is looked at again before anything is launched.
    flight.session_over = session is not None and not session.live
    flight.peaks = session.peaks if session is not None else {}
    if session is not None and isinstance(flight.record.state, Launching):
        flight.record = with_limits(flight.record, session)
    if session is not None and _is_stale(flight.record, session):
        log.warning("judged again", extra={"facts": _facts(flight)})
        flight.judge_again(engine.handle)
    _put_back(flight)
    return flight


def _is_stale(record: RunRecord, session: Session) -> bool:
    """Tell whether others were committed since the run was judged: its decision would undo theirs.

    So it is if run.json was away or unreadable meanwhile.
    """
    if not isinstance(record.state, Judged):
        return False
    applied = session.recent_submits.get(record.submit_id) == record.run_id
    return not applied and session.counters.total >= record.state.decision.counters.total


def _put_back(flight: Flight) -> None:
    """Do what a daemon could not do any more that was killed right after it had recorded the run."""
    if flight.record.restore == "at_submit" and not isinstance(flight.record.state, Judged):
        current = load_or_repair(flight.experiment)
        target = ready.version_to_restore(flight.experiment, current)
        submit.put_back(flight.experiment, flight.record, current, target)


def _session(experiment: Experiment) -> Session | None:
    try:
        return load_or_repair(experiment).session
    except (ArdaemonError, OSError) as error:
        log.warning("unreadable", extra={"facts": {"expr": experiment.slug, "why": str(error)}})
        return None


def _finished(flight: Flight, records: OwnRecords) -> bool:
    """Commit a run that was judged, remove the entry of one that is committed; tell whether that is all."""
    try:
        if history.committed(flight.run, flight.record) is None:
            judged = flight.record.state
            if not isinstance(judged, Judged) or flight.state != "judged":
                return False  # it is not decided, or not by what its experiment is now
            if judged.decision.promote is not None:
                return False  # a checkpoint may be large: its commit goes on in the background
            if judged.decision.unclean is not None:
                return False  # it keeps its slot until that is in quarantine
            load_or_repair(flight.experiment)
            apply.apply(flight.experiment, flight.run, flight.record, records=records)
            log.info("committed", extra={"facts": _facts(flight)})
        durable.remove(flight.entry)
        return True
    except (ArdaemonError, OSError) as error:
        log.warning("not yet", extra={"facts": {**_facts(flight), "why": str(error)}})
        return False


def _facts(flight: Flight) -> dict[str, object]:
    return {"expr": flight.experiment.slug, "run_id": flight.run.run_id, "state": flight.state}
