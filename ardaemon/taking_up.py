"""Takes up the runs of one project from their files: some at a time, in threads, one after the other.

A daemon may have left 10,000 runs that wait. So what is looked at once for an experiment (what a killed
daemon left half written, its session, whether train.py was put back) is not looked at again for each run.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import Experiment, Project, Run, candidate_number, measured_by
from ardaemon.core.model import Session
from ardaemon.core.queue import Stranded
from ardaemon.core.run_record import Active, Judged, Launching, RunRecord, with_limits
from ardaemon.engines.base import Engine
from ardaemon.experiment import chaining, history, ready, session
from ardaemon.experiment.repair import load_or_repair
from ardaemon.experiment.started_here import StartedHere
from ardaemon.experiment.state import is_removed
from ardaemon.host import durable, state
from ardaemon.pipeline import apply, audit_files, submit
from ardaemon.pipeline.flight import Flight

AT_ONCE = 100  # runs of one look: less than a second on a slow disk, of which 10 s count as a dead one

log = logging.getLogger("ardaemon.recovery")


class Entry(NamedTuple):
    """An active entry as it was read, or why it cannot be."""

    path: Path
    active: Active | None
    fault: Stranded | None = None

    @property
    def folder(self) -> Path | None:
        """Return the folder of the run's experiment, as far as it is known."""
        return Path(self.active.folder) if self.active is not None else None

    @property
    def project(self) -> Path:
        """Return the run's project; where it is not known, the entry's own folder."""
        return Experiment(self.folder).project if self.folder is not None else self.path.parent


class TakenUp(NamedTuple):
    """The runs that some active entries lead to, by how they stand."""

    flights: list[Flight]  # all that could be read
    finished: list[Flight]  # those of them that are committed by now; the entry of a noise verdict is there
    removed: list[tuple[Path, Run]]
    stranded: dict[Path, Stranded]


def read(paths: Iterable[Path]) -> list[Entry]:
    """Read the active entries, each once; one that is gone is left out. For a thread."""
    return [entry for path in paths if (entry := _entry(path)) is not None]


def _entry(path: Path) -> Entry | None:
    try:
        active = state.read(path, Active)
    except (ArdaemonError, OSError, msgspec.MsgspecError) as error:
        return Entry(path, None, _unreadable(path, error))
    return Entry(path, active) if active is not None else None


def _unreadable(entry: Path, error: Exception) -> Stranded:
    log.warning("unreadable", extra={"facts": {"entry": entry.name, "why": str(error)}})
    mend = error.mend if isinstance(error, ArdaemonError) else ""
    return Stranded(str(error), mend or "put back a copy of it")


class TakingUp:
    """Take up the runs of one project, in the order of their submits. Its take() is for a thread."""

    def __init__(
        self, project: Path, entries: Sequence[Entry], engine: Engine, started_here: StartedHere
    ) -> None:
        self.project, self.engine, self.started_here = project, engine, started_here
        self.entries = sorted(entries, key=_seq)
        # A submit puts the best back before the next one begins: only the last can have been cut short.
        self.latest = {entry.folder: entry.path for entry in self.entries}
        self.begun: set[Path] = set()  # experiments of which a run was taken up
        self.sessions: dict[Path, Session | None] = {}

    @property
    def folders(self) -> set[Path]:
        """Return the experiments whose runs these are."""
        return {entry.folder for entry in self.entries if entry.folder is not None}

    def some(self) -> Iterator[list[Entry]]:
        """Yield the entries, some at a time."""
        left = iter(self.entries)
        while some := list(islice(left, AT_ONCE)):
            yield some

    def take(self, entries: list[Entry]) -> TakenUp:
        """Read what these entries lead to, and finish what was judged."""
        chaining.settle_alone(Project(self.project))  # before a run starts whose session has ended with that
        self.sessions.clear()  # what was committed since may have ended one
        stranded = {entry.path: entry.fault for entry in entries if entry.fault is not None}
        removed = _removed(entries)
        gone = {path for path, _ in removed}
        there = (entry for entry in entries if entry.path not in gone)
        flights = [flight for entry in there if (flight := self._flight(entry, stranded)) is not None]
        finished = [flight for flight in flights if self._finished(flight)]
        return TakenUp(flights, finished, removed, stranded)

    def _flight(self, entry: Entry, stranded: dict[Path, Stranded]) -> Flight | None:
        """Return the flight of an entry; None if it is unreadable, and then it is among the `stranded`."""
        if entry.active is None:
            return None
        experiment = Experiment(Path(entry.active.folder))
        run = experiment.run(entry.active.run_id)
        try:
            record = self.started_here.records.of_entry(run, entry.active)
            if record is not None:
                return self._resumed(Flight(experiment, run, entry.active, record, entry.path))
        except (ArdaemonError, OSError, msgspec.MsgspecError) as error:
            stranded[entry.path] = _unreadable(entry.path, error)
            return None
        log.warning("stranded", extra={"facts": {"entry": entry.path.name, "folder": entry.active.folder}})
        why = f"it waits for its record, which is away ({run.record})"
        stranded[entry.path] = Stranded(why, "put it back where it was")
        return None

    def _begin(self, experiment: Experiment) -> None:
        """Do what comes before an experiment's first run: sign its session, remove what is half written."""
        if experiment.folder in self.begun:
            return
        with suppress(ArdaemonError):  # it is read again, and told of, with its runs
            self.started_here.adopt(experiment)
        durable.sweep(experiment.folder)
        self.begun.add(experiment.folder)

    def _resumed(self, flight: Flight) -> Flight:
        """Bring a flight to where its files say that it is."""
        self._begin(flight.experiment)
        for folder in (flight.run.folder, *flight.run.folder.glob("a[0-9]*")):
            durable.sweep(folder)
        flight.resume_from_record()
        if flight.handle is not None:
            self.engine.check(flight.handle)
        session = self._session(flight.experiment)
        # Where it cannot be read, it is looked at again before anything is launched.
        flight.session_over = session is not None and not session.live
        flight.peaks = session.peaks if session is not None else {}
        if session is not None and isinstance(flight.record.state, Launching):
            flight.record = with_limits(flight.record, session)
        if session is not None and _is_stale(flight.record, session):
            log.warning("judged again", extra={"facts": about(flight)})
            flight.judge_again(self.engine.handle)
        if self.latest.get(flight.experiment.folder) == flight.entry:
            _put_back(flight)
        return flight

    def _session(self, experiment: Experiment) -> Session | None:
        if experiment.folder not in self.sessions:
            self.sessions[experiment.folder] = _session(experiment)
        return self.sessions[experiment.folder]

    def _finished(self, flight: Flight) -> bool:
        """Commit a run that was judged, remove the entry of one that is committed; tell if that is all."""
        try:
            result = history.committed(flight.run, flight.record)
            if result is None:
                judged = flight.record.state
                if not isinstance(judged, Judged) or flight.state != "judged":
                    return False  # it is not decided, or not by what its experiment is now
                if judged.decision.promote is not None:
                    return False  # a checkpoint may be large: its commit goes on in the background
                if judged.decision.unclean is not None:
                    return False  # it keeps its slot until that is in quarantine
                load_or_repair(flight.experiment)
                records = self.started_here.records
                result = apply.apply(flight.experiment, flight.run, flight.record, records=records)
                log.info("committed", extra={"facts": about(flight)})
            flight.result = result
            if flight.record.settings.verdict != "noise":  # else launches of the best may be due first
                audit_files.finish(flight.entry, flight.record, result)
            return True
        except (ArdaemonError, OSError) as error:
            log.warning("not yet", extra={"facts": {**about(flight), "why": str(error)}})
            return False


def _seq(entry: Entry) -> int:
    return entry.active.seq if entry.active is not None else 0


def _removed(entries: Iterable[Entry]) -> list[tuple[Path, Run]]:
    """Return the runs whose folders were removed, once their ids are on disk as used."""
    runs: dict[Path, list[tuple[Path, Run]]] = {}
    for entry in entries:
        if entry.active is not None:
            experiment = Experiment(Path(entry.active.folder))
            with _logged(entry.path.name):
                run = experiment.run(entry.active.run_id)
                if is_removed(experiment, run):
                    runs.setdefault(experiment.folder, []).append((entry.path, run))
    removed: list[tuple[Path, Run]] = []
    for folder, theirs in runs.items():
        with _logged(folder.name):
            session.remember_run(Experiment(folder), max(candidate_number(run.run_id) for _, run in theirs))
            removed += theirs
    return removed


@contextmanager
def _logged(what: str) -> Iterator[None]:
    """Log what cannot be read: it is read again, and told of, with the other runs."""
    try:
        yield
    except (ArdaemonError, OSError, msgspec.MsgspecError) as error:
        log.warning("unreadable", extra={"facts": {"what": what, "why": str(error)}})


def _is_stale(record: RunRecord, session: Session) -> bool:
    """Tell whether others were committed since the run was judged: its decision would undo theirs.

    So it is if run.json was away or unreadable meanwhile.
    """
    if not isinstance(record.state, Judged):
        return False
    now, decided = session.counters, record.state.decision.counters
    if measured_by(record.run_id) is not None:  # it raises no total, and applying it twice changes nothing
        return (now.total, now.launches) > (decided.total, decided.launches)
    applied = session.recent_submits.get(record.submit_id) == record.run_id
    return not applied and now.total >= decided.total


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


def about(flight: Flight) -> dict[str, object]:
    """Return what the log says of a flight."""
    return {"expr": flight.experiment.slug, "run_id": flight.run.run_id, "state": flight.state}
