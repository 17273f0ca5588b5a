"""An experiment's state on disk, read; and what is rebuilt when a file of it is broken."""

import contextlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError, CorruptState, StorageError, UnknownExperiment
from ardaemon.core.layout import ORIGINAL, Experiment, Project, run_number
from ardaemon.core.model import (
    Best,
    Chain,
    Contract,
    Counters,
    Judged,
    Placed,
    Result,
    RunRecord,
    Session,
)
from ardaemon.host import durable, state
from ardaemon.pipeline import ledger, prune, train_file

REBUILD_ROWS = 1_000_000  # of results.tsv that a rebuild reads: more than a year of one-minute runs
# What `--resume fresh` puts into archive/; runs/ first, which tells how far it came.
OUTCOMES = ("runs", "results.tsv", "best.json", "best_ckpt", ".ckpt")
RUNS_NEW = ".runs-new"


@dataclass(frozen=True)
class State:
    """What the files of one experiment say at this moment."""

    contract: Contract
    session: Session
    best: Best | None
    warnings: list[str] = field(default_factory=list)


def find(project: Path, slug: str) -> Experiment:
    """The experiment of that name. Raises UnknownExperiment, which lists those that are there."""
    experiment = Project(project).experiment(slug)
    if experiment.contract.exists() or experiment.runs.is_dir():
        return experiment
    known = [e.slug for e in Project(project).experiments()]
    mend = f"known here: {', '.join(known[-8:])}" if known else "create one with: arctl init"
    raise UnknownExperiment(f"no experiment {slug!r} in {project}", mend)


def load(experiment: Experiment) -> State:
    """Read the state. Raises CorruptState for a file that load_or_repair() can put right."""
    ledger.check(experiment.results)
    contract = state.read(experiment.contract, Contract)
    if contract is None and not experiment.folder.is_dir():
        raise StorageError(f"the folder {experiment.folder} is gone", "put it back where it was")
    if contract is None:
        raise CorruptState(
            f"{experiment.contract} is missing", "a person can seal again with: arctl seal --accept"
        )
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
    if best is None and session.counters.advance:
        raise CorruptState(f"{experiment.best} is missing", "", {"path": str(experiment.best)})
    if best is not None and not _has_snapshot(experiment, best):
        raise CorruptState(f"{experiment.best} names a run without its train.py", "")
    return State(contract, session, best)


def _has_snapshot(experiment: Experiment, best: Best) -> bool:
    """Without it, train.py could never go back to the best."""
    return experiment.run(best.run_id).train.exists()


def load_or_repair(experiment: Experiment) -> State:
    """Read the state; what is broken is kept aside, rebuilt from the other files, and told of.

    Each file goes from broken to rebuilt in one durable write: after a kill the repair begins again.
    """
    try:
        return load(experiment)
    except CorruptState:
        warnings = [
            *_mend_fresh(experiment),
            *_mend_ledger(experiment),
            *_mend_session(experiment),
            *_mend_best(experiment),
        ]
    found = load(experiment)
    found.warnings.extend(warnings)
    return found


def _mend_fresh(experiment: Experiment) -> list[str]:
    """First of all: it moves the other files away, broken or not."""
    with contextlib.suppress(CorruptState):
        session = state.read(experiment.session, Session)
        if session is not None and session.archiving is not None:
            finish_fresh(experiment, session)
            kept = f"archive/{session.archiving}"
            return [f"--resume fresh was cut short: finished now, what was there is in {kept}"]
    return []


def _mend_ledger(experiment: Experiment) -> list[str]:
    """Broken, cut short or deleted: made anew from the results themselves."""
    try:
        ledger.repair(experiment.results)
        if ledger.size(experiment.results) >= _expected_bytes(experiment):
            return []
        said = "results.tsv had lost rows"
    except CorruptState:
        said = "results.tsv was broken"
    if experiment.results.exists():
        said += f": kept as {state.put_aside(experiment.results).name}"
    rows = [ledger.row(result, _snapshot_hash(experiment, result.run_id)) for result in _results(experiment)]
    ledger.rebuild(experiment.results, rows)
    if _expected_bytes(experiment):
        bytes_now = ledger.size(experiment.results)
        state.write(experiment.session, replace(_session(experiment), results_bytes=bytes_now))
    return [f"{said}, rebuilt from runs/*/result.json"]


def _expected_bytes(experiment: Experiment) -> int:
    with contextlib.suppress(CorruptState):
        session = state.read(experiment.session, Session)
        return session.results_bytes if session is not None else 0
    return 0  # then the session is rebuilt from this table


def _snapshot_hash(experiment: Experiment, run_id: str) -> str:
    record = _record(experiment, run_id)
    return record.sha256 if record else ""


def _record(experiment: Experiment, run_id: str) -> RunRecord | None:
    """run.json, or None where it is gone or broken: a rebuild does without it."""
    with contextlib.suppress(CorruptState):
        return state.read(experiment.run(run_id).record, RunRecord)
    return None


def _mend_session(experiment: Experiment) -> list[str]:
    try:
        if state.read(experiment.session, Session) is not None:
            return []
        said = ".ar-session.json is missing: rebuilt"
    except CorruptState:
        aside = state.put_aside(experiment.session)
        said = f".ar-session.json was broken: kept as {aside.name}, rebuilt"
    state.write(experiment.session, _rebuilt_session(experiment))
    return [f"{said} from results.tsv and runs/; its settings are lost: arctl session start"]


def _rebuilt_session(experiment: Experiment) -> Session:
    places = [experiment.runs, *experiment.archive.glob("*/runs")]  # an archived id is not used again
    folders = [p.name for place in places if place.is_dir() for p in place.iterdir()]
    rows = ledger.last(experiment.results, REBUILD_ROWS)
    numbers = [0]
    for name in [*folders, *(row["run_id"] for row in rows)]:
        with contextlib.suppress(ArdaemonError):
            numbers.append(run_number(name))
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    known = {name: count for name, count in counts.items() if name in Counters.__struct_fields__}
    return Session(
        counters=Counters(**known), last_run=max(numbers), results_bytes=ledger.size(experiment.results)
    )


def _mend_best(experiment: Experiment) -> list[str]:
    try:
        best = state.read(experiment.best, Best)
        if best is not None and _has_snapshot(experiment, best):
            return []
        if best is None and not _session(experiment).counters.advance:
            return []
        said = "best.json is missing"
        if best is not None:
            said = f"best.json names {best.run_id}, which has no train.py: kept as"
            said += f" {state.put_aside(experiment.best).name}"
    except CorruptState:
        aside = state.put_aside(experiment.best)
        said = f"best.json was broken: kept as {aside.name}"
    best = _rebuilt_best(experiment)
    if best is None:
        _forget_best(experiment)
        return [f"{said}; no run that advanced is left in runs/, so there is no best"]
    state.write(experiment.best, best)
    return [f"{said}, rebuilt from {best.run_id}/run.json"]


def _session(experiment: Experiment) -> Session:
    """After _mend_session() there is one."""
    return state.read(experiment.session, Session) or _rebuilt_session(experiment)


def _forget_best(experiment: Experiment) -> None:
    """There is no best, and the counters say so too: else each load would look for it again."""
    with state.storage("remove", experiment.best):
        durable.remove(experiment.best)
        durable.sync_folder(experiment.folder)
    session = _session(experiment)
    if session.counters.advance:
        state.write(experiment.session, replace(session, counters=replace(session.counters, advance=0)))


def _rebuilt_best(experiment: Experiment) -> Best | None:
    """What the last run that advanced decided: its run.json holds best.json as it was written."""
    for row in reversed(ledger.last(experiment.results, REBUILD_ROWS)):
        if row["verdict"] != "advance":
            continue
        record = _record(experiment, row["run_id"])
        best = record.state.decision.best if record and isinstance(record.state, Judged) else None
        if best is not None and _has_snapshot(experiment, best):
            return best
    return None


def _results(experiment: Experiment) -> list[Result]:
    found: list[Result] = []
    if not experiment.runs.is_dir():
        return found
    for folder in sorted(experiment.runs.iterdir(), key=lambda p: (len(p.name), p.name)):
        with contextlib.suppress(ArdaemonError):
            result = state.read(experiment.run(folder.name).result, Result)
            if result is not None:
                found.append(result)
    return found


def finish_fresh(experiment: Experiment, session: Session) -> None:
    """What `--resume fresh` does once its intent stands in the session; what was done is passed over."""
    assert session.archiving is not None
    home = experiment.archive / session.archiving
    archived = archive_train(experiment, session.archiving)
    with state.storage("archive into", home):
        _prepare_runs(experiment, home)
        for name in OUTCOMES:
            if os.path.lexists(experiment.folder / name) and not os.path.lexists(home / name):
                durable.rename(experiment.folder / name, home / name)
        if not experiment.runs.exists():
            durable.rename(experiment.folder / RUNS_NEW, experiment.runs)
    with state.storage("read", experiment.run(ORIGINAL).train):
        original = Placed(ORIGINAL, train_file.sha256(experiment.run(ORIGINAL).train.read_bytes()))
    outcome = train_file.place(experiment, original, {original.sha256, archived or original.sha256}, None)
    placed = None if outcome == "edited_since" else original
    state.write(
        experiment.session,
        replace(session, archiving=None, counters=Counters(), placed=placed, results_bytes=0, untold=()),
    )


def archive_train(experiment: Experiment, stamp: str) -> str | None:
    """Copy train.py into archive/{stamp}/, once; returns the copy's hash, None if there was no train.py."""
    home = experiment.archive / stamp
    copy = home / experiment.train.name
    with state.storage("archive into", home):
        durable.make_folder(experiment.archive)
        durable.make_folder(home)
        over = copy.exists() or (home / experiment.runs.name).exists()  # runs/ moves after it
        if not over and experiment.train.is_file():
            mode = stat.S_IMODE(experiment.train.stat().st_mode)
            durable.write(copy, experiment.train.read_bytes(), mode)
        return train_file.sha256(copy.read_bytes()) if copy.exists() else None


def _prepare_runs(experiment: Experiment, home: Path) -> None:
    """The new runs/, with the original in it, aside: it takes its place in one rename."""
    moved = home / experiment.runs.name
    if moved.exists() and experiment.runs.exists():
        return
    original = (moved if moved.exists() else experiment.runs) / ORIGINAL / experiment.train.name
    folder = experiment.folder / RUNS_NEW / ORIGINAL
    durable.make_folder(folder.parent)
    durable.make_folder(folder)
    durable.write(folder / experiment.train.name, original.read_bytes(), 0o444)


def sweep(experiment: Experiment) -> None:
    """Remove what a killed daemon left half-written; runs at work are swept as they are taken up."""
    for folder in (experiment.folder.parent, experiment.folder, *experiment.archive.glob("*")):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            durable.sweep(folder)
    prune.sweep(experiment)


def chain_of(experiment: Experiment) -> Chain | None:
    """The chain this experiment is the current link of."""
    chain = state.read(Project(experiment.project).chain, Chain)
    return chain if chain is not None and chain.current_slug == experiment.slug else None


def standard(experiment: Experiment, best: Best | None) -> str:
    """The run whose version train.py goes back to."""
    return best.run_id if best is not None else ORIGINAL
