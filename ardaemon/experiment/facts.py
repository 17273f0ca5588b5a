"""facts.jsonl: what report and history need of each committed run, one line each, in the order of commits.

Every line is derived from a row of results.tsv and from the files that its run has left. So nothing of it is
synced, and what is missing, torn or lost is derived again: the next line is always that of the row after the
one whose run is last in the file. Only pipeline/facts_keeper.py writes it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.facts import RunFacts
from ardaemon.core.layout import Experiment
from ardaemon.core.model import SCHEMA, Contract, Result, Status, Verdict
from ardaemon.core.run_record import Judged, RunRecord
from ardaemon.core.words import MEASURE
from ardaemon.experiment import history, ledger, same
from ardaemon.host import durable, state
from ardaemon.source.normal import AST
from ardaemon.source.reader import Edit

LINE_MAX = 64 << 10  # bytes; the longest possible has half of it
COUNTED = 1000  # rows that are counted at once
FIRST = len(ledger.HEADER)  # where the rows of results.tsv begin


class Position(NamedTuple):
    """How far the file has got: its whole lines, the run of the last one, where the next row begins."""

    size: int = 0
    run_id: str | None = None
    offset: int = FIRST


class Material(NamedTuple):
    """All that one line is derived from. What is lost is None; of a run that was removed the row is left."""

    row: dict[str, str]
    row_end: int
    result: Result | None = None
    record: RunRecord | None = None
    conditions: str = ""
    before: bytes | None = None  # the version that was edited
    after: bytes | None = None  # the run's snapshot


# --- reading ---


def read(experiment: Experiment) -> Iterator[RunFacts]:
    """Yield the facts of the runs in the order of their commits; what cannot be read is passed over.

    The lines are untrusted text: notes, names, values and diffs are an agent's. Raises StorageError,
    CorruptState, and ForeignOwner.
    """
    with state.reading(experiment.facts):
        try:
            file = files.opened(experiment.facts, file_kinds.FACTS)
        except FileNotFoundError:
            return
    with file:
        while line := file.readline(LINE_MAX):
            if (facts := _decoded(line)) is not None:
                yield facts


def _decoded(line: bytes) -> RunFacts | None:
    try:
        facts = msgspec.json.decode(line, type=RunFacts)
    except state.UNREADABLE:
        return None
    return facts if facts.schema == SCHEMA and line.endswith(b"\n") else None


def missing(experiment: Experiment) -> int:
    """Return the number of committed runs that have no line yet."""
    offset, count = position(experiment).offset, 0
    while rows := ledger.rows_from(experiment.results, offset, COUNTED):
        offset, count = rows[-1][0], count + len(rows)
    return count


def position(experiment: Experiment, known: Position | None = None) -> Position:
    """Return how far the file has got; `known` is what was seen of it last.

    A file whose last run has no row, as that of another table has, is made anew.
    """
    if known is not None and ledger.size(experiment.facts) == known.size:
        return known
    size, run_id = _last(experiment.facts)
    offset = None if run_id is None else ledger.end_of(experiment.results, run_id)
    return Position() if offset is None else Position(size, run_id, offset)


def _last(path: Path) -> tuple[int, str | None]:
    """Return where the last line that can be read ends, and whose it is; (0, None) where there is none."""
    with state.reading(path):
        try:
            file = files.opened(path, file_kinds.FACTS)
        except FileNotFoundError:
            return 0, None
        with file:
            start = max(0, file.seek(0, os.SEEK_END) - 2 * LINE_MAX)
            file.seek(start)
            tail = file.read()
    end = tail.rfind(b"\n") + 1
    while end > 0:
        begin = tail.rfind(b"\n", 0, end - 1) + 1
        if (facts := _decoded(tail[begin:end])) is not None:
            return start + end, facts.run_id
        end = begin
    return 0, None


# --- deriving ---


def materials(experiment: Experiment, at: Position, count: int) -> list[Material]:
    """Gather what the next lines are derived from, `count` of them at most."""
    rows = ledger.rows_from(experiment.results, at.offset, count)
    contract = state.read(experiment.contract, Contract) if rows else None
    return [_material(experiment, row, end, contract) for end, row in rows]


def _material(experiment: Experiment, row: dict[str, str], end: int, contract: Contract | None) -> Material:
    try:
        run = experiment.run(row["run_id"])
        record = history.record_of(run)
        result = history.committed(run, record)
        base = experiment.run(record.base) if record is not None and record.base is not None else None
    except ArdaemonError:
        return Material(row, end)
    if record is None or record.run_id != run.run_id:
        return Material(row, end)
    if result is None and isinstance(record.state, Judged):
        result = record.state.decision.result
    return Material(
        row=row,
        row_end=end,
        result=result,
        record=record,
        conditions="" if contract is None else same.conditions(record, contract),
        before=None if base is None else _source(base.train),
        after=_source(run.train),
    )


def _source(path: Path) -> bytes | None:
    try:
        return files.read(path, file_kinds.TRAIN)
    except OSError:
        return None


def derived(material: Material, edit: Edit | None) -> RunFacts:
    """Return the line of one run; `edit` is what its edit changed, where its snapshot is there."""
    facts = _of_result(material) if material.result is not None else _of_row(material.row)
    if (record := material.record) is not None:
        facts = msgspec.structs.replace(
            facts,
            sha256=record.sha256,
            base=record.base,
            conditions=material.conditions,
            measure=record.measure,
            gpus=record.need.gpus if record.need is not None else 0,
        )
    if edit is None or material.after is None:
        return facts
    return msgspec.structs.replace(
        facts,
        normal=record.normal if record is not None and record.normal.startswith(AST) else edit.normal,
        changes=edit.changes,
        added=edit.added,
        removed=edit.removed,
        lines=edit.lines,
        size=len(material.after),
        diff=edit.diff,
        diff_cut=edit.diff_cut,
    )


def _of_result(material: Material) -> RunFacts:
    result = material.result
    assert result is not None
    return RunFacts(
        run_id=result.run_id,
        ended_at=result.ended_at or "",
        status=result.status,
        verdict=result.verdict,
        valid=result.valid,
        value=result.primary.value,
        best_before=result.primary.best_before,
        best_run_before=result.primary.best_run_before,
        note=result.note,
        reason=result.reason,
        tainted=result.tainted,
        values=result.values,
        p_better=result.p_better,
        estimate=result.estimate,
        estimate_sd=result.estimate_sd,
        base=result.base,
        checkpoint=result.checkpoint,
        seconds=result.seconds,
        peak_vram_mb=result.peak_vram_mb,
        peak_rss_mb=result.peak_rss_mb,
    )


def _of_row(row: dict[str, str]) -> RunFacts:
    """Return what the ledger alone tells of a run whose folder is gone."""
    status, verdict = row["status"], row["verdict"]
    measure = verdict == MEASURE
    verdict = "revert" if measure else verdict
    return RunFacts(
        run_id=row["run_id"],
        ended_at=row["ended_at"],
        status=status if status in get_args(Status) else "invalid",  # type: ignore[arg-type]
        verdict=verdict if verdict in get_args(Verdict) else "invalid",  # type: ignore[arg-type]
        value=_number(row["primary"]),
        measure=measure,
        note=row["note"],
        base=row["base"] or None,
        sha256=row["sha256"],
        seconds=_number(row["seconds"]) or 0.0,
        peak_vram_mb=_number(row["peak_vram_mb"]),
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# --- writing ---


def append(experiment: Experiment, at: Position, material: Material, facts: RunFacts) -> Position | None:
    """Append the line of the row at `at`; return how far the file has got.

    None is returned, and nothing is written, where file or ledger are not as they were when the line was
    derived. The caller holds the experiment's lock.
    """
    rows = ledger.rows_from(experiment.results, at.offset, 1)
    if position(experiment, at) != at or [row for _, row in rows] != [material.row]:
        return None
    _note(experiment, material, facts)
    line = msgspec.json.encode(facts) + b"\n"
    with state.storage("append to", experiment.facts):
        mode = _mode(experiment, material)
        durable.tighten(experiment.facts, mode)
        if ledger.size(experiment.facts) != at.size:  # a torn line, or lines of another table
            durable.truncate(experiment.facts, at.size)
        durable.append(experiment.facts, line, mode, sync=False)
    return Position(at.size + len(line), facts.run_id, material.row_end)


def _note(experiment: Experiment, material: Material, facts: RunFacts) -> None:
    """Note the run in the index of versions: before its line, so that a run with a line is in it."""
    record, result = material.record, material.result
    if record is None or result is None or not (facts.normal and facts.conditions):
        return
    if same.counts(record, result):
        version = same.version_of(record, facts.conditions)._replace(normal=facts.normal)
        same.note(experiment, version, facts.run_id)


def _mode(experiment: Experiment, material: Material) -> int:
    """Return the mode of the file: a line has parts of train.py, and is no more open than that."""
    if material.after is None:
        return 0o644
    return durable.mode_of(experiment.run(material.row["run_id"]).train, 0o644)
