"""What the noise verdict says of a run whose launches gave no value."""

from pathlib import Path

import pytest

from ardaemon.core.measured import Measured
from ardaemon.core.model import Settings, Status
from ardaemon.core.run_record import AttemptResult, Judged
from ardaemon.pipeline import apply, decide
from tests.pipeline.test_apply import ended
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
