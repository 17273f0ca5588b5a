"""The limits of a session with --verdict noise: they hold for a run that is launched again and again, too."""

from typing import Any

import pytest

from tests.integration.test_interrupted_confirmation import WAIT, better, result, state
from tests.integration.test_noise_verdict import noisy
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured


def held(lab: Lab) -> str:
    """Submit an edit that is to be confirmed, and hold its first launch."""
    run_id = better(lab, WAIT.format(when=True, go="go"))
    wait_until(lambda: state(lab, run_id) == "running", "its first launch")
    return run_id


@pytest.mark.parametrize("limit", [{"max_launches": 5}, {"max_hours": 1e-6}], ids=["launches", "hours"])
def test_a_run_is_not_launched_again_beyond_a_limit(lab: Lab, limit: dict[str, Any]) -> None:
    noisy(lab)
    run_id = held(lab)
    lab.get("session.set", given=limit)
    (lab.project / "go").touch()
    told = result(lab, run_id)
    assert (told["verdict"], told["attempts"]) == ("revert", 1), told["said"]
    assert told["reason"] == "undecided: the session ends before its rerun"
    assert [told["terminated_by"]] == [*limit]
    assert lab.get("session.get")["session"]["counters"]["launches"] == 5


def test_launches_of_runs_that_are_not_judged_yet_count_against_the_limit(lab: Lab) -> None:
    configured(lab, "cpu_slots = 2\n")
    noisy(lab, max_launches=6)
    runs = [held(lab), held(lab)]
    (lab.project / "go").touch()
    told = [result(lab, run_id) for run_id in runs]
    assert [one["attempts"] for one in told] == [1, 1], [one["said"] for one in told]
    session = lab.get("session.get")["session"]
    assert (session["terminated_by"], session["counters"]["launches"]) == ("max_launches", 6)
