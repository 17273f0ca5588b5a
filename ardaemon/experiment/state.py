"""Reads an experiment's state from disk."""

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from ardaemon.checkpoints import prune
from ardaemon.core import lost_runs
from ardaemon.core.config import HOUR_S
from ardaemon.core.errors import CorruptState, StorageError, UnknownExperiment
from ardaemon.core.layout import ORIGINAL, Experiment, Project, Run
from ardaemon.core.model import Best, Contract, Session
from ardaemon.core.words import CREATE
from ardaemon.experiment import ledger, vanished
from ardaemon.host import durable, state


@dataclass(frozen=True)
class State:
    """The content of an experiment's files at one moment; `warnings` are one line each, for a person."""

    contract: Contract
    session: Session
    best: Best | None
    warnings: list[str] = field(default_factory=list)


def find(project: Path, slug: str) -> Experiment:
    """Return the experiment of that name. Raises UnknownExperiment, which lists those that are there."""
    experiment = Project(project).experiment(slug)
    if experiment.contract.exists() or experiment.runs.is_dir():
        return experiment
    raise unknown(Project(project), slug)


def unknown(project: Project, name: str) -> UnknownExperiment:
    """Make the error for a name, with its date or without, that no experiment of the project has."""
    archived = [] if project.archive.is_symlink() else project.all_archived()
    slug = next((e.slug for e in archived if name in (e.slug, e.slug.partition("-")[2])), None)
    if slug is not None:
        return UnknownExperiment(f"{slug} is archived", f"take it back: arctl archive --back {slug}")
    slugs = [e.slug for e in project.experiments()]
    mend = f"known here: {', '.join(slugs[-8:])}" if slugs else f"create one with: {CREATE}"
    return UnknownExperiment(f"no experiment {name[:80]!r} in {project.folder}", mend)


def load(experiment: Experiment) -> State:
    """Read the state. Raises CorruptState for a file that load_or_repair() can put right."""
    ledger.check(experiment.results)
    contract = _contract(experiment)
    if contract is None and not experiment.folder.is_dir():
        raise StorageError(f"the folder {experiment.folder} is gone", vanished.way_back(experiment))
    if contract is None:
        raise CorruptState(f"{experiment.contract} is missing", _seal_again(experiment))
    session = state.read(experiment.session, Session)
    if session is None:
        raise CorruptState(f"{experiment.session} is missing", "", {"path": str(experiment.session)})
    if session.archiving is not None:
        raise CorruptState(
            f"--resume fresh of {experiment.slug} was cut short", "try again: it is finished then"
        )
    if ledger.size(experiment.results) < session.results_bytes:
        raise CorruptState(f"{experiment.results} has lost rows", "", {"path": str(experiment.results)})
    best = state.read(experiment.best, Best)
    lost = _lost_runs(experiment, session, best)
    if lost:  # until they are back, or put aside, the rest stays as it is
        return State(contract, session, best, lost)
    if best is None and session.counters.advance:
        raise CorruptState(f"{experiment.best} is missing", "", {"path": str(experiment.best)})
    if best is not None and not has_snapshot(experiment, best):
        raise CorruptState(f"{experiment.best} names a run without its train.py", "")
    if best is not None and is_from_before(best, session):
        raise CorruptState(f"{experiment.best} is a copy from before", "", {"path": str(experiment.best)})
    return State(contract, session, best)


def _contract(experiment: Experiment) -> Contract | None:
    try:
        return state.read(experiment.contract, Contract)
    except CorruptState as error:
        raise CorruptState(error.message, _seal_again(experiment), error.data) from error


def _seal_again(experiment: Experiment) -> str:
    """Return what to do where the seal is lost: only a person knows whether the files are as they were."""
    command = f"arctl seal --accept --expr {experiment.slug}"
    return f"put back a copy of it; or seal the files as they are now: {command}"


def _lost_runs(experiment: Experiment, session: Session, best: Best | None) -> list[str]:
    """Return a line if all runs are gone. Looks no further where the best's is there."""
    if (best is not None and has_snapshot(experiment, best)) or not lost_runs.are_gone(experiment):
        return []
    return [lost_runs.refusal(experiment, session.settings is not None).line]


def hours_of(session: Session) -> float:
    """Return how long ago the session started, in hours; 0 if it does not say when.

    By the clock of the wall, the only one that goes on over a reboot.
    """
    started = state.seconds(session.started_at)
    return max(0.0, time.time() - started) / HOUR_S if started else 0.0


def is_from_before(best: Best, session: Session) -> bool:
    """Tell whether best.json is a copy from before: another run has advanced since, or it lacks values.

    An earlier version writes no number: of its best.json nobody can tell.
    """
    if best.advances == session.counters.advance:
        return best.measured < session.best_measured
    return 0 < best.advances < session.counters.advance


def has_snapshot(experiment: Experiment, best: Best) -> bool:
    """Return whether the best's train.py is there: without it train.py could never go back to the best."""
    return os.path.isfile(experiment.run(best.run_id).train)


def is_removed(experiment: Experiment, run: Run) -> bool:
    """Tell whether somebody removed the run: what the daemon wrote there is gone, the experiment is there.

    An experiment that is gone as a whole may be on a disk that is away, and come back; and so may one that
    git took back to an earlier state.
    """
    gone = experiment.folder.exists() and not any(file.exists() for file in (run.record, run.train))
    return gone and not vanished.is_taken_back(experiment)


def sweep(experiment: Experiment) -> None:
    """Remove the half-written files of a killed daemon; those of runs at work go when they are taken up."""
    ours = (experiment.folder.parent, experiment.folder, experiment.versions)
    for folder in (*ours, *experiment.archive.glob("*")):
        with contextlib.suppress(OSError):  # whoever needs what is there says why it cannot be reached
            durable.sweep(folder)
    prune.sweep(experiment)


def fallback_run(experiment: Experiment, best: Best | None) -> str:
    """Return the id of the run whose version train.py goes back to: the best's, else the original's."""
    return best.run_id if best is not None else ORIGINAL
