"""An experiment's state on disk, read; and what is rebuilt when a file of it is broken."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from ardaemon.core.errors import ArdaemonError, CorruptState, StorageError, UnknownExperiment
from ardaemon.core.layout import ORIGINAL, Experiment, Project, run_number
from ardaemon.core.model import Best, Chain, Contract, Counters, Result, RunRecord, Session
from ardaemon.host import state
from ardaemon.pipeline import ledger

REBUILD_ROWS = 1_000_000  # of results.tsv that a rebuild reads: more than a year of one-minute runs


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
    return State(contract, session, state.read(experiment.best, Best))


def load_or_repair(experiment: Experiment) -> State:
    """Read the state; what is broken is put aside, rebuilt from the other files, and told of."""
    try:
        return load(experiment)
    except CorruptState:
        warnings = [*_mend_ledger(experiment), *_mend_session(experiment), *_mend_best(experiment)]
    found = load(experiment)
    found.warnings.extend(warnings)
    return found


def _mend_ledger(experiment: Experiment) -> list[str]:
    try:
        ledger.repair(experiment.results)
    except CorruptState:
        aside = state.put_aside(experiment.results)
        for result in _results(experiment):
            record = state.read(experiment.run(result.run_id).record, RunRecord)
            ledger.add(experiment.results, ledger.row(result, record.sha256 if record else ""))
        return [f"results.tsv was broken: kept as {aside.name}, rebuilt from runs/*/result.json"]
    return []


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
    folders = [p.name for p in experiment.runs.iterdir()] if experiment.runs.is_dir() else []
    rows = ledger.last(experiment.results, REBUILD_ROWS)
    numbers = [0]
    for name in [*folders, *(row["run_id"] for row in rows)]:
        with contextlib.suppress(ArdaemonError):
            numbers.append(run_number(name))
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    known = {name: count for name, count in counts.items() if name in Counters.__struct_fields__}
    return Session(counters=Counters(**known), last_run=max(numbers))


def _mend_best(experiment: Experiment) -> list[str]:
    try:
        state.read(experiment.best, Best)
        return []
    except CorruptState:
        aside = state.put_aside(experiment.best)
    best = _rebuilt_best(experiment)
    if best is None:
        return [f"best.json was broken: kept as {aside.name}; no run has advanced, so there is no best"]
    state.write(experiment.best, best)
    return [f"best.json was broken: kept as {aside.name}, rebuilt from {best.run_id}/result.json"]


def _rebuilt_best(experiment: Experiment) -> Best | None:
    for row in reversed(ledger.last(experiment.results, REBUILD_ROWS)):
        if row["verdict"] != "advance":
            continue
        result = state.read(experiment.run(row["run_id"]).result, Result)
        record = state.read(experiment.run(row["run_id"]).record, RunRecord)
        contract = state.read(experiment.contract, Contract)
        if result and record and contract and result.primary.value is not None:
            return Best(
                run_id=result.run_id,
                primary=contract.primary,
                value=result.primary.value,
                valid=result.valid,
                metrics=result.metrics,
                sha256=record.sha256,
                checkpoint=result.checkpoint,
                at=result.ended_at or "",
            )
    return None


def _results(experiment: Experiment) -> list[Result]:
    found = []
    for folder in sorted(experiment.runs.iterdir(), key=lambda p: (len(p.name), p.name)):
        with contextlib.suppress(ArdaemonError):
            result = state.read(experiment.run(folder.name).result, Result)
            if result is not None:
                found.append(result)
    return found


def chain_of(experiment: Experiment) -> Chain | None:
    """The chain this experiment is the current link of."""
    chain = state.read(Project(experiment.project).chain, Chain)
    return chain if chain is not None and chain.current_slug == experiment.slug else None


def standard(experiment: Experiment, best: Best | None) -> str:
    """The run whose version train.py goes back to."""
    return best.run_id if best is not None else ORIGINAL
