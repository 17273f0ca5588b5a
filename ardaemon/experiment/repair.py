"""Rebuilds broken files of an experiment from its other files."""

import contextlib
import os
from collections.abc import Iterator

from msgspec.structs import replace

from ardaemon.core.errors import ArdaemonError, CorruptState
from ardaemon.core.layout import Experiment, measured_by, run_number
from ardaemon.core.lost_runs import are_gone
from ardaemon.core.model import Best, Counters, Session
from ardaemon.core.run_record import Judged
from ardaemon.experiment import committed_last, generation, history, ledger, run_folders, train_file, versions
from ardaemon.experiment.fresh import finish_fresh
from ardaemon.experiment.state import State, has_snapshot, is_from_before, load
from ardaemon.experiment.vanished import lost_best, require_results
from ardaemon.host import durable, state

REBUILD_ROWS = 1_000_000  # of results.tsv that a rebuild reads: more than a year of one-minute runs


def load_or_repair(experiment: Experiment, without_results: bool = False) -> State:
    """Read the state. A broken file is kept aside and rebuilt from the other files; `warnings` says so.

    Each file goes from broken to rebuilt in one durable write, so after a kill the repair begins again.
    Raises Refused where all results are gone, or the best, unless a person goes on `without_results`.
    """
    try:
        current = load(experiment)
        if current.best is None or _is_as_judged(experiment, current.best) or are_gone(experiment):
            return current
        raise CorruptState(f"{experiment.best} names a run whose train.py was changed")
    except CorruptState:
        if not without_results:
            require_results(experiment)
        warnings = [
            *_mend_fresh(experiment),
            *_mend_ledger(experiment),
            *_mend_session(experiment),
            *_mend_best(experiment, without_results),
        ]
    repaired = load(experiment)
    repaired.warnings.extend(warnings)
    return repaired


def _mend_fresh(experiment: Experiment) -> list[str]:
    """Finish a `--resume fresh`, before any other repair: it moves the other files away, broken or not."""
    with contextlib.suppress(CorruptState):
        session = state.read(experiment.session, Session)
        if session is not None and session.archiving is not None:
            finish_fresh(experiment, session)
            kept = f"archive/{session.archiving}"
            return [f"--resume fresh was cut short: finished now, what was there is in {kept}"]
    return []


def _mend_ledger(experiment: Experiment) -> list[str]:
    """Make results.tsv anew from runs/*/result.json, if it is broken, cut short or deleted."""
    kept: list[dict[str, str]] = []
    try:
        ledger.repair(experiment.results)
        if not _has_lost_rows(experiment):
            return []
        fault = "results.tsv had lost rows"
        kept = ledger.last(experiment.results, REBUILD_ROWS)
    except CorruptState:
        fault = "results.tsv was broken"
    if os.path.lexists(experiment.results):
        fault += f": kept as {state.put_aside(experiment.results).name}"
    rows = _rows(experiment, kept)
    durable.remove(experiment.facts)  # its lines are in the order of the table that was there
    ledger.rebuild(experiment.results, rows)
    expected = _expected_bytes(experiment)
    if expected is not None:
        bytes_now = ledger.size(experiment.results)
        generation.write(experiment, replace(_session(experiment), results_bytes=bytes_now))
    missing = _session(experiment).counters.total - len(rows) if expected is not None else 0
    told = f"; {missing} of the runs that were judged left no result" if missing > 0 else ""
    return [f"{fault}, rebuilt from runs/*/result.json{told}"]


def _has_lost_rows(experiment: Experiment) -> bool:
    """Tell whether rows are missing, by what the session says; where it is lost as well, by the runs."""
    expected = _expected_bytes(experiment)
    if expected is not None:
        return ledger.size(experiment.results) < expected
    there = {row["run_id"] for row in ledger.last(experiment.results, REBUILD_ROWS)}
    return any(result.run_id not in there for result in history.results(experiment))


def _rows(experiment: Experiment, kept: list[dict[str, str]]) -> list[str]:
    """Return the rows that are left, whose runs may be gone, and those that the runs know, in order."""
    there = {row["run_id"] for row in kept}
    rows = [(row["ended_at"], ledger.line(row)) for row in kept]
    for result in history.results(experiment):
        if result.run_id not in there:
            row = ledger.row(result, _snapshot_hash(experiment, result.run_id))
            rows.append((result.ended_at or "", row))
    return [line for _, line in sorted(rows, key=lambda row: row[0])]


def _expected_bytes(experiment: Experiment) -> int | None:
    with contextlib.suppress(CorruptState):
        session = state.read(experiment.session, Session)
        return session.results_bytes if session is not None else None
    return None  # then the session is rebuilt from this table


def _snapshot_hash(experiment: Experiment, run_id: str) -> str:
    record = history.record_of(experiment.run(run_id))
    return record.sha256 if record else ""


def _mend_session(experiment: Experiment) -> list[str]:
    try:
        if state.read(experiment.session, Session) is not None:
            return []
        fault = ".ar-session.json is missing: rebuilt"
    except CorruptState:
        aside = state.put_aside(experiment.session)
        fault = f".ar-session.json was broken: kept as {aside.name}, rebuilt"
    generation.write(experiment, _rebuilt_session(experiment))
    return [
        f"{fault} from results.tsv and runs/; its settings are lost:"
        f" arctl session start --resume continue --seconds N --expr {experiment.slug}"
    ]


def _rebuilt_session(experiment: Experiment) -> Session:
    places = [experiment.runs, *experiment.archive.glob("*/runs")]  # an archived id is not used again
    places.append(experiment.versions)  # of runs whose folders are gone
    folders = [p.name.removesuffix(".gz") for place in places if place.is_dir() for p in place.iterdir()]
    rows = ledger.last(experiment.results, REBUILD_ROWS)
    known = generation.newest(experiment)
    numbers = [known.last_run]
    for name in [*folders, *(row["run_id"] for row in rows)]:
        with contextlib.suppress(ArdaemonError):
            numbers.append(run_number(name))
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    by_verdict = {name: count for name, count in counts.items() if name in Counters.__struct_fields__}
    return Session(
        counters=Counters(**by_verdict),
        last_run=max(numbers),
        results_bytes=ledger.size(experiment.results),
        generation=_newest_generation(experiment),
        lineage=known.lineage,
    )


def _newest_generation(experiment: Experiment) -> int:
    """Return the session's highest number that is known: what is rebuilt is no copy from before."""
    runs = experiment.runs.iterdir() if experiment.runs.is_dir() else ()
    numbers = [generation.known(experiment)]
    for name in [folder.name for folder in runs]:
        with contextlib.suppress(ArdaemonError):
            numbers.append(committed_last.of_decision(experiment, name))
    return max(numbers)


def _mend_best(experiment: Experiment, without_results: bool) -> list[str]:
    if are_gone(experiment):
        return []  # whichever it is, its run may be put back
    try:
        best = state.read(experiment.best, Best)
        older = best is not None and is_from_before(best, _session(experiment))
        if best is not None and not older and _is_as_judged(experiment, best):
            return []
        if best is None and not _session(experiment).counters.advance:
            return []
        if best is not None and not older and _put_right(experiment, best):
            return [f"runs/{best.run_id}/train.py was not the version that was judged: put back"]
        fault = "best.json is missing"
        if older and best is not None:
            fault = f"best.json was a copy from before, with {best.run_id}"
        elif best is not None:
            fault = f"best.json names {best.run_id}, whose train.py is gone or was changed"
    except CorruptState:
        fault = "best.json was broken"
    return _replace_best(experiment, fault, without_results)


def _replace_best(experiment: Experiment, fault: str, without_results: bool) -> list[str]:
    """Make the last run that advanced, and whose version is left, the best; say so."""
    best = _rebuilt_best(experiment)
    if best is None and not without_results and _session(experiment).counters.advance:
        raise lost_best(experiment, fault)
    if os.path.lexists(experiment.best):
        fault += f": kept as {state.put_aside(experiment.best).name}"
    if best is None:
        _forget_best(experiment)
        return [f"{fault}; no run that advanced is left in runs/, so there is no best"]
    # As the newest there is: the run that advanced last may have lost its version, a launch its folder.
    session = _session(experiment)
    measured = max(best.measured, session.best_measured)  # a session that was rebuilt does not know it
    newest = replace(best, advances=session.counters.advance, measured=measured)
    state.write(experiment.best, newest)
    return [f"{fault}, rebuilt from {best.run_id}/run.json"]


def _is_as_judged(experiment: Experiment, best: Best) -> bool:
    """Tell whether the best's snapshot is the version that was judged, by its hash where the best has one.

    load() only looks whether the file is there, for `status` asks it: nothing is put back into train.py then.
    """
    snapshot = experiment.run(best.run_id).train
    return train_file.hash_at(snapshot) == best.sha256 if best.sha256 else has_snapshot(experiment, best)


def _put_right(experiment: Experiment, best: Best) -> bool:
    """Return whether the best's snapshot is the version that was judged, put back where that can be done."""
    return _is_as_judged(experiment, best) or versions.put_right(experiment, best.run_id, best.sha256)


def _session(experiment: Experiment) -> Session:
    """Return the session, which is there after _mend_session(); rebuilt if somebody removed it meanwhile."""
    return state.read(experiment.session, Session) or _rebuilt_session(experiment)


def _forget_best(experiment: Experiment) -> None:
    """Remove best.json, and count no advance any more: otherwise each load would look for the best again."""
    with state.storage("remove", experiment.best):
        durable.remove(experiment.best)
        durable.sync_folder(experiment.folder)
    session = _session(experiment)
    if session.counters.advance:
        generation.write(experiment, replace(session, counters=replace(session.counters, advance=0)))


def _rebuilt_best(experiment: Experiment) -> Best | None:
    """Return the best as the last run that advanced made it: its run.json holds what went into best.json."""
    for row in reversed(ledger.last(experiment.results, REBUILD_ROWS)):
        if row["verdict"] != "advance":
            continue
        record = history.record_of(experiment.run(row["run_id"]))
        best = record.state.decision.best if record and isinstance(record.state, Judged) else None
        if best is not None and _put_right(experiment, best):
            return max((best, *_measured_since(experiment, best)), key=_known)
    return None


def _measured_since(experiment: Experiment, best: Best) -> Iterator[Best]:
    """Yield what later launches of the best have made of it: their run.json holds that too."""
    for name in run_folders.names(experiment):
        if measured_by(name) != best.run_id:
            continue
        record = history.record_of(experiment.run(name))
        later = record.state.decision.best if record and isinstance(record.state, Judged) else None
        if later is not None and (later.run_id, later.sha256) == (best.run_id, best.sha256):
            yield later


def _known(best: Best) -> tuple[int, int]:
    return best.measured, sum(value is not None for value in best.values)
