"""Says what somebody took away, or took back to an earlier state, and how git brings it back.

git's stash, clean, reset and checkout do that in one word, and nobody means the experiments. Nothing is made
anew and nothing is written into what an earlier state has left, until a person has decided.
"""

import os
from contextlib import suppress
from operator import itemgetter
from pathlib import Path

from ardaemon.core import git, lost_runs
from ardaemon.core.errors import ArdaemonError, CorruptState, Refused, UnknownExperiment
from ardaemon.core.folders import Look, listing
from ardaemon.core.layout import FOLDER, Experiment, Run, run_name, run_number
from ardaemon.core.model import Session
from ardaemon.core.words import BY_GIT
from ardaemon.experiment import generation, ledger, run_folders
from ardaemon.host import state

BY_HAND = "put a copy of it back"
NONE = ((-1, 0), "")  # no commit has a session


def require_newest(experiment: Experiment, session: Session) -> None:
    """Raise Refused if the session, which was read with the experiment's lock held, is a copy from before.

    So it is if it knows less than a run that was committed here, or if it was written less often than this
    daemon knows of.
    """
    _require(experiment, session, generation.newest(experiment).of(session))


def went_back(experiment: Experiment, session: Session) -> bool:
    """Tell whether the session is such a copy."""
    return _fault(experiment, session, generation.newest(experiment).of(session)) is not None


def require_newest_there(experiment: Experiment, written: int = 0) -> None:
    """Do the same for the session that is there, which was written `written` times by now, with or without
    the lock. One that is missing or broken is rebuilt by others.
    """
    known = generation.newest(experiment)  # before the file is read: it may be written meanwhile
    with suppress(CorruptState):
        session = state.read(experiment.session, Session)
        if session is not None:
            known = known.of(session)
            _require(experiment, session, known._replace(generation=max(written, known.generation)))


def _fault(experiment: Experiment, session: Session, known: generation.Newest) -> str | None:
    """Say by what the session is a copy from before; None if it is none."""
    if session.last_run < known.last_run:
        return f"{run_name(known.last_run)} was committed here, and its files know nothing of it"
    if generation.is_before(session, known.generation):
        name, there = experiment.session.name, session.generation
        return f"its {name} was written {known.generation} times, and the one that is there {there} times"
    return None


def _require(experiment: Experiment, session: Session, known: generation.Newest) -> None:
    fault = _fault(experiment, session, known)
    if fault is None:
        return
    slug, before = experiment.slug, run_name(session.last_run)
    accept = f"arctl session stop --expr {slug}; arctl session start --resume continue --expr {slug}"
    raise Refused(
        f"{slug} went back to {before}: {fault} ({BY_GIT})",
        f"{_way_forward(experiment, session)}; or, to go on from {before}: {accept}",
    )


def _way_forward(experiment: Experiment, session: Session) -> str:
    """Return the command that brings back what is newer than this session, or what else can be done.

    The commit that is checked out may have it, if git has taken back the one file.
    """
    project, path = str(experiment.project), f"{FOLDER}/{experiment.slug}"
    if not git.is_in_repository(project):
        return BY_HAND
    name = f"{path}/{experiment.session.name}"
    aged = ((_age(project, commit, name), commit) for commit in git.checked_out(project))
    newest, commit = max(aged, key=itemgetter(0), default=NONE)
    if newest > (session.last_run, session.generation):
        same_runs = newest[0] == session.last_run  # the whole folder would take a person's changes with it
        return git.restore(commit, name if same_runs or _is_alone(experiment, session) else path)
    return git.stashed(project, path) or BY_HAND


def _age(project: str, commit: str, name: str) -> tuple[int, int]:
    """Return the last run, and the number, of the session in that commit; (-1, 0) if there is none."""
    with suppress(ArdaemonError):
        text = git.content(project, commit, name)
        if text is not None:
            session = state.decode(os.fsencode(text), Session, Path(name))
            return session.last_run, session.generation
    return -1, 0


def _is_alone(experiment: Experiment, session: Session) -> bool:
    """Tell whether the session alone is from before: results.tsv has a later run."""
    with suppress(ArdaemonError):
        return any(run_number(row["run_id"]) > session.last_run for row in ledger.last(experiment.results, 1))
    return False


def require_results(experiment: Experiment) -> None:
    """Raise Refused if every run that was committed is gone: nothing is rebuilt from nothing.

    Of a session that is gone as well, this daemon knows only that it has written one. Raises StorageError.
    """
    if not _lost_results(experiment):
        return
    if lost_runs.are_gone(experiment):  # the original, too
        raise lost_runs.refusal(experiment, _has_settings(experiment))
    slug = experiment.slug
    accept = f"arctl session stop --expr {slug}; arctl session start --resume continue --expr {slug}"
    raise Refused(
        f"{slug} has lost its results: every run that was committed is gone (a clean or stash of git's?)",
        f"{way_back(experiment)}; or, to go on without them: {accept}",
    )


def lost_best(experiment: Experiment, fault: str) -> Refused:
    """Make the error where no version that advanced is left as it was judged; `fault` is the best's."""
    slug = experiment.slug
    accept = f"arctl session stop --expr {slug}; arctl session start --resume continue --expr {slug}"
    return Refused(
        f"{slug} has lost its best: {fault}, and no run that advanced has its train.py any more",
        f"{way_back(experiment)}; or, to go on without a best: {accept}",
    )


def _has_settings(experiment: Experiment) -> bool:
    session = state.read(experiment.session, Session)
    return session is not None and session.settings is not None


def _lost_results(experiment: Experiment) -> bool:
    with suppress(CorruptState):
        session = state.read(experiment.session, Session)
        if session is not None and session.archiving is not None:
            return False  # `--resume fresh` moves them away
        judged = generation.known(experiment) if session is None else session.counters.total
        return judged > 0 and not any(
            experiment.run(run_id).result.exists() for run_id in run_folders.ids(experiment)
        )
    return False


def is_taken_back(experiment: Experiment) -> bool:
    """Tell whether the experiment as a whole is not as this daemon has left it, and not one run of it."""
    with suppress(CorruptState):
        session = state.read(experiment.session, Session)
        older = session is None or generation.is_older(experiment, session)
        return older or _lost_results(experiment)
    return False


def way_back(experiment: Experiment) -> str:
    """Return the command that brings the experiment back, or what else can be done."""
    return _command(experiment.project, f"{FOLDER}/{experiment.slug}") or BY_HAND


def way_back_of(run: Run) -> str | None:
    """Return the command that brings the run's folder back and puts its version into train.py; or None."""
    experiment = Experiment(run.folder.parent.parent)
    command = _command(experiment.project, str(run.folder.relative_to(experiment.project)))
    return command and f"{command} && arctl restore {run.run_id} --expr {experiment.slug}"


def explained(error: UnknownExperiment, project: Path, known: frozenset[str]) -> UnknownExperiment:
    """Return the error, with what is known of experiments that were here: `known`, by their folders."""
    home = project / FOLDER
    gone = sorted(Path(one).name for one in known if Path(one).parent == home and not Path(one).exists())
    if not gone and _has_experiments(home):
        return error
    command = _command(project, f"{FOLDER}/{gone[0]}" if gone else FOLDER)
    if not gone and command is None:
        return error
    was = f"{', '.join(gone)} was here, and is gone" if gone else "git has experiments that were here"
    return UnknownExperiment(
        f"{error.message}; {was}", command or "git has no copy of it: put one back", error.data
    )


def _has_experiments(home: Path) -> bool:
    return home.is_dir() and any(one.is_folder for one in listing(str(home), Look(home), follow=True))


def _command(project: Path, path: str) -> str | None:
    return git.way_back(str(project), path) if git.is_in_repository(str(project)) else None
