"""What the verdict says of a run whose launches gave no value, and what the session says of the noise."""

from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from ardaemon.core.layout import Experiment
from ardaemon.core.measured import Measured
from ardaemon.core.model import Best, Exit, Session, Settings, Status
from ardaemon.core.run_record import AttemptResult, Judged, RunRecord
from ardaemon.experiment.train_file import sha256
from ardaemon.host import state
from ardaemon.pipeline import apply, decide
from ardaemon.pipeline.ended import Ended
from tests.pipeline.test_apply import committed, ended, live
from tests.support.folders import experiment, record

NOISY = record(settings=Settings(seconds=1, verdict="noise"), epoch=1)


@pytest.mark.parametrize(
    ("first", "reason"),
    [("ok", "two launches were tainted"), ("crash", "unstable: two reruns failed")],
)
def test_launches_that_others_disturbed_are_not_called_failures_of_the_edit(
    tmp_path: Path, first: Status, reason: str
) -> None:
    made = experiment(tmp_path)
    baseline = ended(made, 1, 0.5)
    apply.apply(made, baseline.run, decide.decide(baseline))
    before = (AttemptResult(why="tainted"), AttemptResult(why="confirm", status=first))
    tainted = Measured(tainted="foreign_gpu_process")
    run = ended(made, 2, 0.3, record=NOISY, before=before, seed=1, measured=tainted)
    state = decide.decide(run).state
    assert isinstance(state, Judged)
    assert (state.decision.result.reason or "").startswith(reason)


def over(made: Experiment, number: int, value: float, record: RunRecord = NOISY, **fields: Any) -> Ended:
    """A run of the session that is over."""
    known = replace(record, run_id=f"r{number:04d}", sha256=sha256(made.train.read_bytes()))
    return ended(made, number, value, record=known, **fields)


def noisy(made: Experiment) -> None:
    """A live session whose best has values with four seeds, and its first verdict by the noise."""
    live(made, settings=NOISY.settings, epoch=1)
    committed(over(made, 1, 0.5))
    best = state.read(made.best, Best)
    assert best is not None
    state.write(made.best, replace(best, values=(0.5, 0.51, 0.49, 0.502)))
    committed(over(made, 2, 0.9))


def session(made: Experiment) -> Session:
    found = state.read(made.session, Session)
    assert found is not None
    return found


@pytest.mark.parametrize("ending", ["stopped", "limit", "exited"])
def test_the_line_of_the_noise_counts_the_launches_of_each_run_whatever_became_of_it(
    tmp_path: Path, ending: Literal["stopped", "limit", "exited"]
) -> None:
    """The first two runs give no value; the last is a rerun of the best, which decides nothing."""
    made = experiment(tmp_path)
    noisy(made)
    assert " 0 of 2 launches " in session(made).noise
    record = replace(NOISY, measure=ending == "exited")
    end = Exit(ending=ending, exit_code=0, seconds=1.0, ended_at="2026-11-22T10:06:00Z")
    before = (AttemptResult(why="confirm", seed=0, value=0.4),)
    committed(over(made, 3, 0.5, record, exit=end, attempts=2, before=before, seed=1))
    assert " 1 of 4 launches " in session(made).noise


def test_values_whose_sum_no_number_holds_are_judged(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    live(made, settings=NOISY.settings, epoch=1)
    committed(over(made, 1, 1.2e308))
    best = state.read(made.best, Best)
    assert best is not None
    state.write(made.best, replace(best, values=(1.2e308, 1.21e308, 1.19e308, 1.205e308)))
    before = (AttemptResult(why="confirm", seed=0, value=1.2e308),)
    result = committed(over(made, 2, 1.22e308, attempts=2, before=before, seed=1))
    assert result.verdict == "revert"
    assert result.primary.value == pytest.approx(1.21e308)


def test_a_rerun_of_an_earlier_session_takes_nothing_of_the_limits_of_the_next(tmp_path: Path) -> None:
    """Its value counts for the best all the same."""
    made = experiment(tmp_path)
    noisy(made)
    counts = []
    for number, epoch in ((3, 0), (4, 1)):
        rerun = replace(NOISY, of="r0001", epoch=epoch)
        committed(over(made, number, 0.5, rerun, seed=1 + number, slots=("0",)))
        counters = session(made).counters
        counts.append((counters.launches, counters.confirmations, counters.gpu_seconds))
    assert counts == [(2, 0, 0.0), (3, 1, 1.0)]
    best = state.read(made.best, Best)
    assert best is not None
    assert best.values[4:] == (0.5, 0.5)
