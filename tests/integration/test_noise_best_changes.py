"""A session with --verdict noise whose best, or whose settings, are others than when a run was submitted."""

import pytest

from tests.integration.test_noise_verdict import edit, measured, noisy
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured

HOLD = "import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.01)\n"


def slow(lab: Lab, value: float) -> str:
    """Submit a run that ends once the file `go` is there, and wait until it is at work."""
    edit(lab, value)
    lab.write(HOLD + (lab.folder / "train.py").read_text())
    run_id: str = lab.submit()["run_id"]
    wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "running", "the slow run")
    return run_id


def test_a_run_that_took_long_is_the_best_although_one_with_a_higher_number_advanced_before(lab: Lab) -> None:
    configured(lab, "cpu_slots = 2\n")
    noisy(lab)
    wait_until(lambda: len(measured(lab)) == 3, "the best's reruns")
    run_id = slow(lab, 0.5)
    edit(lab, 0.8)
    assert lab.run()["verdict"] == "advance"
    (lab.project / "go").touch()
    assert lab.wait(run_id)["result"]["verdict"] == "advance"
    edit(lab, 0.65)
    result = lab.run()
    assert (result["verdict"], result["best"]) == ("revert", run_id), "better than the one before the best"


def test_the_first_run_that_keeps_the_constraints_is_measured_as_a_baseline(lab: Lab) -> None:
    """It may be judged before the first run of all is launched again."""
    lab.ready(verdict="noise", constraints=["val/loss<=1.2"])
    lab.call("queue.pause")
    for value in (1.5, 1.0, 0.5):
        edit(lab, value)
        run_id = lab.submit()["run_id"]
    lab.call("queue.resume")
    assert lab.wait(run_id)["result"]["verdict"] == "advance"
    earlier = lab.read("best.json")["earlier"]
    assert [(one["run_id"], len(one["values"])) for one in earlier] == [("r0002", 4)]
    assert measured(lab) == ["r0002m1", "r0002m2", "r0002m3"], (
        "what breaks a constraint is not launched again"
    )


def test_a_baseline_with_few_launches_ends_no_verdict_once_more_are_allowed(lab: Lab) -> None:
    noisy(lab, max_attempts=2)
    edit(lab, 0.5)
    assert lab.run()["verdict"] == "advance"
    lab.get("session.set", given={"max_attempts": 24})
    edit(lab, 0.2)
    assert lab.run()["verdict"] == "advance"


def test_a_run_of_an_earlier_session_is_undecided_where_the_best_was_measured_in_another_way(
    lab: Lab,
) -> None:
    configured(lab, "cpu_slots = 3\n")
    noisy(lab, max_runs=2)
    wait_until(lambda: len(measured(lab)) == 3, "the best's reruns")
    run_id = slow(lab, 0.5)
    edit(lab, 1.5)
    assert lab.run()["terminated_by"] == "max_runs"
    lab.session(resume="continue", ack=True, verdict="noise", seconds=30, max_runs=None)
    edit(lab, 1.4)
    assert lab.run()["verdict"] == "revert"
    (lab.project / "go").touch()
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["verdict"]) == ("ok", "revert")
    assert result["reason"].startswith("undecided")


@pytest.mark.parametrize("luck", [1.0, -1.0], ids=["unlucky", "lucky"])
def test_a_plain_session_after_it_compares_what_the_same_seed_gives(lab: Lab, luck: float) -> None:
    """The best's mean is beaten by luck alone where the first seed is lucky, and stays out of reach else."""
    lab.ready(verdict="noise")
    edit(lab, 1.0, luck)
    lab.run()
    wait_until(lambda: len(measured(lab)) == 3, "the best's reruns")
    lab.get("session.stop")
    lab.session(resume="continue", verdict="plain")
    edit(lab, 1.0, luck)
    lab.write((lab.folder / "train.py").read_text() + "unused = 1\n")
    assert lab.run()["verdict"] == "revert"
    edit(lab, 0.999, luck)
    better = lab.run()
    assert (better["verdict"], better["primary"]["delta"]) == ("advance", pytest.approx(-0.001))
