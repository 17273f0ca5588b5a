"""Number the writes of `.ar-session.json`, so that a copy of it from before is noticed.

A backup that is put back, a checkout of git's or another machine's older version may stand there, and it
looks as whole as the file of now. Whoever decides something in an experiment asks first whether the session
is the newest that this daemon knows of (vanished.require_newest).
"""

import os
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import RESULT, Experiment, Project, Run, run_number
from ardaemon.core.model import Session
from ardaemon.core.run_record import Decision, Judged
from ardaemon.experiment import history, ledger, run_folders
from ardaemon.experiment.own_records import PLAIN, Records
from ardaemon.host import state


class Newest(NamedTuple):
    """The newest session of an experiment that is known."""

    generation: int = 0  # its number
    last_run: int = 0  # the highest run that was committed
    lineage: str = ""  # the experiment's; "": its records tell, or an earlier version has written it

    def of(self, session: Session) -> "Newest":
        """Return what that says of the session's experiment: nothing, if it is another one in its place."""
        is_other = session.lineage and self.lineage not in ("", session.lineage)
        return Newest() if is_other else self


FOLDERS_READ = 16  # the newest with a result: runs may end out of order, and a job may have made others
# Experiment's folder -> what this process has written, or found in records. Both numbers only grow, whichever
# daemon writes: so nothing is forgotten when a project is let go.
_known: dict[str, Newest] = {}


def write(experiment: Experiment, session: Session, folder: bool = True) -> None:
    """Write the session under the next number, durably; `folder` as in durable.write. Raises StorageError.

    A session that was read from a copy from before keeps that one's number: only accepted() ends that. One
    without a number, as an earlier version writes it, is the newest.
    """
    before = newest(experiment).of(session)
    step = 0 if is_before(session, before.generation) else 1
    numbered = replace(session, generation=(session.generation or before.generation) + step)
    state.write(experiment.session, numbered, folder=folder)
    _known[str(experiment.folder)] = before
    _note(experiment, Newest(numbered.generation, numbered.last_run, numbered.lineage))


def known(experiment: Experiment) -> int:
    """Return the highest number that is known of the experiment's session; 0 if none is."""
    return newest(experiment).generation


def newest(experiment: Experiment) -> Newest:
    """Return what is known of the experiment's newest session."""
    return _known.get(str(experiment.folder), Newest())


def committed(experiment: Experiment, number: int) -> None:
    """Learn that this run was committed."""
    _note(experiment, newest(experiment)._replace(last_run=number))


def lineage() -> str:
    """Make what tells an experiment from another one in its place."""
    return os.urandom(8).hex()


def known_of(project: Project) -> dict[Experiment, Newest]:
    """Return what is known of each of the project's experiments."""
    every = {Experiment(Path(folder)): newest for folder, newest in list(_known.items())}
    return {
        experiment: newest for experiment, newest in every.items() if experiment.project == project.folder
    }


def recall(experiment: Experiment, before: Newest) -> None:
    """Learn how this user's daemon has left the experiment; of another one in its place it knows nothing."""
    there = _lineage_there(experiment)
    if there and newest(experiment).lineage not in ("", there):
        forget(experiment)
    if there and before.lineage == there:
        _note(experiment, before)


def _lineage_there(experiment: Experiment) -> str:
    """Return the lineage of the experiment that stands there; "" if that cannot be told."""
    with suppress(ArdaemonError):
        session = state.read(experiment.session, Session)
        return session.lineage if session is not None else ""
    return ""


def forget(experiment: Experiment) -> None:
    """Know nothing any more, for another experiment begins in that folder."""
    _known.pop(str(experiment.folder), None)


def forget_others(project: Project) -> None:
    """Know nothing any more of experiments that are not in a project whose `.autoresearch/` was exchanged."""
    for experiment, before in known_of(project).items():
        if not before.lineage or before.lineage != _lineage_there(experiment):
            forget(experiment)


def is_older(experiment: Experiment, session: Session) -> bool:
    """Tell whether the session is a copy from before."""
    return is_before(session, newest(experiment).of(session).generation)


def any_older(project: Project) -> bool:
    """Tell whether the session of an experiment that is known here is a copy from before, or is gone."""
    return any(map(_is_gone_or_older, known_of(project)))


def _is_gone_or_older(experiment: Experiment) -> bool:
    with suppress(ArdaemonError):
        session = state.read(experiment.session, Session)
        return session is None or is_older(experiment, session)
    return True


def is_before(session: Session, written: int) -> bool:
    """Tell whether the session, of one that was written so often, is a copy from before.

    An earlier version writes no number: of its sessions nobody can tell.
    """
    return 0 < session.generation < written


def accepted(experiment: Experiment, session: Session, records: Records = PLAIN) -> Session:
    """Return the session as the newest there is: a person goes on from it, with ids that no folder has.

    `records` as in learn(): the session must count also for the next daemon, which learns the same.
    """
    learned, known_here = learn(experiment, records), newest(experiment).of(session)
    last_run = max(learned, known_here.last_run)
    if session.last_run >= last_run and not is_older(experiment, session):
        return session
    return replace(
        session,
        generation=max(session.generation, known_here.generation),
        last_run=max([session.last_run, last_run, *map(run_number, run_folders.ids(experiment))]),
    )


def learn(experiment: Experiment, records: Records = PLAIN) -> int:
    """Find out what earlier daemons have committed last, and return that run's number; 0 if there is none.

    A backup that was put back may have left the run's folder, and `records` tells which of those are ours.
    """
    return max(_of_table(experiment), _of_folders(experiment, records))


def _of_folders(experiment: Experiment, records: Records) -> int:
    """Learn from the folders of committed runs: session and table may be from before, both of them.

    Not from the newest alone: where runs end out of order, the one that ended last has a lower number.
    """
    newest = 0
    names: list[str] = []
    with suppress(ArdaemonError):  # a folder that is closed is told by others
        names = sorted(run_folders.ids(experiment), key=run_number, reverse=True)
    # By their names: a Run of each of 10,000 that wait would cost 200 ms.
    ended = (name for name in names if os.path.exists(os.path.join(experiment.runs, name, RESULT)))
    for run in map(experiment.run, islice(ended, FOLDERS_READ)):
        decision = _decision(experiment, run, records)
        if decision is not None:
            _note(experiment, Newest(decision.generation + 1 if decision.generation else 0))
            newest = max(newest, run_number(run.run_id))
    return newest


def _decision(experiment: Experiment, run: Run, records: Records) -> Decision | None:
    """Return what was decided of the run; None if its record is not ours, or cannot be read."""
    with suppress(ArdaemonError):
        record = records.read(run)
        if record is not None and isinstance(record.state, Judged):
            decision = record.state.decision
            of = decision.result.run_id, decision.result.expr
            return decision if of == (run.run_id, experiment.slug) else None
    return None


def _of_table(experiment: Experiment) -> int:
    """Learn from the last run in results.tsv."""
    with suppress(ArdaemonError):  # a broken table is rebuilt by others
        for row in ledger.last(experiment.results, 1):
            run = experiment.run(row["run_id"])
            seen = of_decision(experiment, run.run_id)
            written = (
                seen + 1 if seen and run.result.exists() else seen
            )  # the commit has written it once more
            _note(experiment, Newest(written))
            return run_number(run.run_id)
    return 0


def of_decision(experiment: Experiment, run_id: str) -> int:
    """Return the session's number when that run was judged; 0 if it was not, or by an earlier version."""
    record = history.record_of(experiment.run(run_id))
    judged = record.state if record is not None else None
    return judged.decision.generation if isinstance(judged, Judged) else 0


def _note(experiment: Experiment, seen: Newest) -> None:
    before = newest(experiment)
    _known[str(experiment.folder)] = Newest(
        max(seen.generation, before.generation),
        max(seen.last_run, before.last_run),
        seen.lineage or before.lineage,
    )
