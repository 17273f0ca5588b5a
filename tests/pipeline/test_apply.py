"""The commit: result.json within its bytes, and a stage two that can be done twice."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ardaemon.core.config import NOTE_MAX, RESULT_MAX_BYTES
from ardaemon.core.layout import SLUG_MAX, Experiment
from ardaemon.core.model import (
    ConstraintResult,
    Exit,
    Placed,
    PrimaryResult,
    Process,
    Result,
    Session,
    Settings,
)
from ardaemon.core.run_record import RunRecord
from ardaemon.experiment import ledger
from ardaemon.experiment.train_file import sha256
from ardaemon.host import state
from ardaemon.metrics.readable import METRIC_NAME_MAX
from ardaemon.pipeline import apply, decide
from ardaemon.pipeline.ended import Ended
from ardaemon.pipeline.extract import Extracted
from ardaemon.pipeline.outcome import fit
from tests.support.folders import experiment, record
from tests.support.runs import everything

# --- fit ---

WIDE = st.text(st.characters(exclude_categories=["Cs"]), max_size=NOTE_MAX)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
RESULTS = st.builds(
    Result,
    run_id=st.just("r123456789"),
    expr=st.just("261122-" + "a" * (SLUG_MAX - 7)),
    status=st.sampled_from(["ok", "interrupted"]),
    verdict=st.sampled_from(["advance", "interrupted"]),
    valid=st.booleans(),
    improved_over_best=st.booleans(),
    primary=st.builds(
        PrimaryResult,
        name=st.text(st.characters(categories=["L", "N", "S"]), min_size=1, max_size=METRIC_NAME_MAX),
        value=FLOATS,
        direction=st.just("min"),
        best_before=FLOATS,
        best_run_before=st.just("r123456788"),
        delta=FLOATS,
    ),
    metrics=st.dictionaries(st.text(max_size=300), FLOATS, max_size=60),
    metrics_source=st.none() | st.text(max_size=3000),
    constraints=st.lists(
        st.builds(ConstraintResult, expr=st.text(max_size=600), value=st.none() | FLOATS, ok=st.booleans()),
        max_size=20,
    ).map(tuple),
    reason=st.none() | st.text(max_size=3000),
    signal=st.none() | st.just("SIGRTMIN+15"),
    base=st.just("r123456787"),
    checkpoint=st.just(".ckpt/r123456789"),
    should_terminate=st.booleans(),
    terminated_by=st.sampled_from([None, "primary_threshold", "plateau"]),
    next=st.sampled_from(["continue", "stop: primary_threshold(-1.23457e-300), chain_budget used up"]),
    chain_over=st.booleans(),
    plateau=st.just("123456789/123456789"),
    runs=st.just("123456789/123456789"),
    hours=st.just("1.23e+05/123456.789"),
    gpu_hours=st.just("1.23e+05/123456.789"),
    failures=st.just("123456789/123456789"),
    best=st.just("r123456789"),
    best_value=FLOATS,
    chain_remaining=st.integers(0, 10**9),
    peak_vram_mb=FLOATS,
    seconds=FLOATS,
    exit_code=st.just(-2147483648),
    note=WIDE,
    started_at=st.just("2026-11-22T10:00:00Z"),
    ended_at=st.just("2026-11-22T10:05:00Z"),
)
# What a result is about; nothing of it may be given up for the others' sake.
STANDS = (
    "run_id expr status verdict valid improved_over_best primary peak_vram_mb base checkpoint"
    " should_terminate terminated_by next chain_over plateau runs hours gpu_hours failures best best_value"
    " chain_remaining"
).split()


def plain(**fields: Any) -> Result:
    primary = PrimaryResult(name="val/loss", value=0.844, direction="min", best_before=0.851, delta=-0.007)
    given = {
        "run_id": "r0043",
        "expr": "261122-lr",
        "status": "ok",
        "verdict": "advance",
        "valid": True,
        "improved_over_best": True,
        "primary": primary,
        "note": "lr 2.5e-4 -> 2e-4",
    }
    return Result(**{**given, **fields})


@settings(max_examples=60, deadline=None)
@given(result=RESULTS)
@example(
    result=plain(constraints=tuple(ConstraintResult(expr="x" * 900, value=None, ok=False) for _ in range(3)))
)
@example(result=plain(metrics_source="custom " + "x" * 5000))
@example(result=plain(reason="🦀" * 5000, note="🦀" * NOTE_MAX))
def test_any_result_fits_its_bytes_with_primary_verdict_and_termination_intact(result: Result) -> None:
    fitted = fit(result)
    assert len(state.encode(replace(fitted, train_py="edited_since"))) <= RESULT_MAX_BYTES
    for name in STANDS:
        assert getattr(fitted, name) == getattr(result, name)
    assert set(fitted.metrics.items()) <= set(result.metrics.items())
    assert result.note.startswith(fitted.note)


def test_a_result_that_fits_is_left_as_it_is() -> None:
    result = plain(
        metrics={"train/loss": 0.79}, constraints=(ConstraintResult(expr="a<1", value=0.5, ok=True),)
    )
    assert fit(result) == result


def test_metrics_are_dropped_first_and_the_note_stays_while_it_can() -> None:
    many = {f"layer{n}/gradient_norm": n / 7 for n in range(500)}
    fitted = fit(plain(metrics=many, note="n" * NOTE_MAX))
    assert 0 < len(fitted.metrics) < len(many)
    assert fitted.note == "n" * NOTE_MAX


def test_of_many_constraints_a_violated_one_stays() -> None:
    held = [ConstraintResult(expr=f"metric_{n}<=1", value=0.5, ok=True) for n in range(60)]
    broken = ConstraintResult(expr="peak_vram_mb<=70000", value=80000.0, ok=False)
    fitted = fit(plain(constraints=(*held, broken)))
    assert broken in fitted.constraints


# --- stage one and two ---


def ended(made: Experiment, number: int, value: float | None, text: str = "", **fields: Any) -> Ended:
    """A run that is over: its snapshot is laid out, its evidence given."""
    run = made.run(f"r{number:04d}")
    run.attempt(1).folder.mkdir(parents=True)
    run.job.mkdir()
    run.attempt(1).log.write_text(f"val/loss: {value}\n")
    data = text.encode() or made.train.read_bytes()
    run.train.write_bytes(data)
    known = record(
        run.run_id,
        submit_id=f"submit {number}",
        sha256=sha256(data),
        base="r0000",
        note="a note",
        epoch=1,
        seal="",
    )
    state.write(run.record, known)
    exit_of = Exit(ending="exited", exit_code=0, seconds=1.0, ended_at="2026-11-22T10:05:00Z")
    given = {
        "experiment": made,
        "run": run,
        "record": known,
        "attempts": 1,
        "seal_faults": (),
        "exit": exit_of,
        "manual": False,
        "boot_id": "boot",
        "extracted": Extracted(metrics={} if value is None else {"val/loss": value}),
    }
    return Ended(**{**given, **fields})


def committed(over: Ended) -> Result:
    return apply.apply(over.experiment, over.run, decide.decide(over))


def live(made: Experiment, **fields: Any) -> None:
    session = state.read(made.session, Session)
    assert session is not None
    given = {"settings": Settings(seconds=1), **fields}
    state.write(made.session, replace(session, live=True, **given))


def edit(made: Experiment, text: str) -> str:
    made.train.write_text(text)
    return text


@pytest.mark.parametrize("case", ["advance", "updated", "revert", "crash", "unclean", "edited", "checkpoint"])
def test_applying_a_decision_twice_gives_the_same_files_byte_for_byte(tmp_path: Path, case: str) -> None:
    made = experiment(tmp_path)
    live(made)
    committed(ended(made, 1, 1.0))
    text = edit(made, "candidate\n")
    value = 0.5 if case in ("advance", "updated", "checkpoint") else 2.0
    over = ended(made, 2, value, text)
    match case:
        case "updated":  # `arctl run` without --wait: the best stands in train.py already
            made.train.write_bytes(made.run("r0001").train.read_bytes())
        case "crash":
            over = replace(over, exit=replace(over.exit, exit_code=1))
        case "unclean":
            over = replace(over, exit=replace(over.exit, survivors=(Process(4242, 7, "python"),)))
        case "edited":
            edit(made, "the next idea\n")
        case "checkpoint":
            (over.run.folder / "state.pt").write_bytes(b"weights")
    record = decide.decide(over)
    first = apply.apply(made, over.run, record)
    once = everything(made.folder)
    assert apply.apply(made, over.run, record) == first
    assert everything(made.folder) == once
    # As after a kill just before the last write: result.json is not there yet.
    over.run.result.unlink()
    apply.apply(made, over.run, record)
    assert everything(made.folder) == once


def test_what_is_decided_is_read_from_disk_the_same_as_it_was_written(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    live(made)
    over = ended(made, 1, 1.0)
    assert state.read(over.run.record, RunRecord) == over.record
    record = decide.decide(over)
    assert state.read(over.run.record, RunRecord) == record


@pytest.mark.parametrize(
    ("value", "stands", "outcome", "left"),
    [
        (0.5, "candidate\n", "kept", "candidate\n"),
        (0.5, "best\n", "updated", "candidate\n"),
        (0.5, "next idea\n", "edited_since", "next idea\n"),
        (2.0, "candidate\n", "restored", "best\n"),
        (2.0, "best\n", "restored", "best\n"),
        (2.0, "next idea\n", "edited_since", "next idea\n"),
    ],
)
def test_train_py_is_set_back_or_up_only_where_nobody_edited_it_since(
    tmp_path: Path, value: float, stands: str, outcome: str, left: str
) -> None:
    made = experiment(tmp_path)
    live(made)
    committed(ended(made, 1, 1.0, edit(made, "best\n")))
    over = ended(made, 2, value, "candidate\n")
    edit(made, stands)
    assert committed(over).train_py == outcome
    assert made.train.read_text() == left


def test_a_commit_counts_remembers_and_records_one_row(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    live(made)
    result = committed(ended(made, 1, 1.0))
    session = state.read(made.session, Session)
    assert session is not None
    assert (session.counters.advance, session.counters.total, session.last_run) == (1, 1, 1)
    assert session.recent_submits == {"submit 1": "r0001"}
    assert session.placed == Placed("r0001", sha256(made.train.read_bytes()))
    [row] = ledger.last(made.results, 10)
    assert (row["run_id"], row["verdict"], row["primary"]) == ("r0001", "advance", "1")
    assert msgspec.json.decode(made.run("r0001").result.read_bytes(), type=Result) == result
    assert os.readlink(made.run("r0001").log) == "a1/run.log"


def test_the_runs_log_is_that_of_the_last_attempt_by_its_number(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    live(made)
    over = ended(made, 1, 1.0)
    for number in (2, 10):
        made.run("r0001").attempt(number).folder.mkdir()
    (made.run("r0001").folder / "a11.old").mkdir()
    committed(over)
    assert os.readlink(made.run("r0001").log) == "a10/run.log"


def test_how_far_the_metrics_were_read_is_forgotten_with_the_commit(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    live(made)
    over = ended(made, 1, 1.0)
    made.run("r0001").attempt(2).folder.mkdir()
    kept = [made.run("r0001").attempt(1).bookmark("csv"), made.run("r0001").attempt(2).bookmark("log")]
    half = kept[0].with_name(f".{kept[0].name}.12-34.0.tmp")  # of a daemon that was killed as it wrote
    log = made.run("r0001").attempt(1).log
    for path in (*kept, half, log):
        path.write_bytes(b"x")
    committed(over)
    assert [path for path in (*kept, half, log) if path.exists()] == [log]


def test_an_unclean_run_ends_the_session_and_writes_the_sentinel(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    live(made)
    over = ended(made, 1, 1.0)
    result = committed(replace(over, exit=replace(over.exit, survivors=(Process(4242, 7, "python"),))))
    assert (result.should_terminate, result.terminated_by) == (True, "unclean")
    assert b"4242" in made.unclean.read_bytes()
    session = state.read(made.session, Session)
    assert session is not None
    assert (session.live, session.terminated_by) == (False, "unclean")
