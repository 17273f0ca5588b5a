"""What earlier daemons have committed last, as the runs' folders and results.tsv tell.

Session and table may both be from before: a backup that was put back may have left the runs' folders.
"""

import os
from contextlib import suppress
from itertools import islice

from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import RESULT, Experiment, Run, run_number
from ardaemon.core.model import Session
from ardaemon.core.run_record import Decision, Judged
from ardaemon.experiment import history, ledger, run_folders
from ardaemon.experiment.generation import Newest, is_older, newest, note
from ardaemon.experiment.own_records import PLAIN, Records

FOLDERS_READ = 16  # the newest with a result: runs may end out of order, and a job may have made others


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
    highest = 0
    names: list[str] = []
    with suppress(ArdaemonError):  # a folder that is closed is told by others
        names = sorted(run_folders.ids(experiment), key=run_number, reverse=True)
    # By their names: a Run of each of 10,000 that wait would cost 200 ms.
    ended = (name for name in names if os.path.exists(os.path.join(experiment.runs, name, RESULT)))
    for run in map(experiment.run, islice(ended, FOLDERS_READ)):
        decision = _decision(experiment, run, records)
        if decision is not None:
            note(experiment, Newest(decision.generation + 1 if decision.generation else 0))
            highest = max(highest, run_number(run.run_id))
    return highest


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
            is_written = seen and run.result.exists()  # by the commit, once more
            note(experiment, Newest(seen + 1 if is_written else seen))
            return run_number(run.run_id)
    return 0


def of_decision(experiment: Experiment, run_id: str) -> int:
    """Return the session's number when that run was judged; 0 if it was not, or by an earlier version."""
    record = history.record_of(experiment.run(run_id))
    judged = record.state if record is not None else None
    return judged.decision.generation if isinstance(judged, Judged) else 0
