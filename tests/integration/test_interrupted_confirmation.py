"""A run that is interrupted at a later launch keeps the values that its earlier ones have measured."""

import json
from typing import Any

import pytest

from tests.integration.test_noise_verdict import KEPT, edit, measured, noisy
from tests.support.lab import Lab, wait_until

WAIT = "import os, pathlib, time\nwhile {when} and not pathlib.Path({go!r}).exists():\n    time.sleep(0.01)\n"


def better(lab: Lab, before: str = "") -> str:
    """Submit an edit that is to be confirmed once, once the noise is known; `before` stands at its head."""
    wait_until(lambda: len(measured(lab)) == 3, "the best's reruns")
    edit(lab, 0.985)
    lab.write(before + (lab.folder / "train.py").read_text())
    run_id: str = lab.submit()["run_id"]
    return run_id


def state(lab: Lab, run_id: str) -> Any:
    return lab.get("run.get", run_id=run_id)["state"]


def result(lab: Lab, run_id: str) -> Any:
    return lab.wait(run_id)["result"]


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_that_is_cancelled_as_it_waits_for_its_confirmation_keeps_what_was_measured(
    lab: Lab, killed: bool
) -> None:
    noisy(lab)
    run_id = better(lab, WAIT.format(when=True, go="go"))
    wait_until(lambda: state(lab, run_id) == "running", "its first launch")
    lab.call("queue.pause")
    (lab.project / "go").touch()
    wait_until(lambda: lab.events("again"), "its confirmation to wait")
    cancelled_as_it_was_killed(lab) if killed else lab.get("run.cancel", run_id=run_id)
    told = result(lab, run_id)
    assert (told["verdict"], told["values"]) == ("interrupted", KEPT[:1])


def cancelled_as_it_was_killed(lab: Lab) -> None:
    """The wish is on disk, and nothing was done about it when the daemon was killed (-9)."""
    lab.kill()
    (entry,) = (lab.home / "active").glob("*.json")
    entry.write_text(json.dumps({**json.loads(entry.read_bytes()), "wanted": "cancel"}))
    lab.start()


def test_a_confirmation_that_a_stop_ends_leaves_no_value_and_what_was_measured_before_stays(lab: Lab) -> None:
    noisy(lab)
    run_id = better(lab, WAIT.format(when="os.environ['AR_SEED'] == '1'", go="go"))
    wait_until(lambda: lab.events("again") and state(lab, run_id) == "running", "its confirmation")
    lab.get("session.stop")
    told = result(lab, run_id)
    values = [KEPT[0], {"seed": 1, "status": "interrupted"}]
    assert (told["verdict"], told["values"], told["said"]) == ("interrupted", values, "")


def test_a_run_whose_check_is_ended_keeps_the_value_of_its_last_launch_too(lab: Lab) -> None:
    noisy(lab, checks=["sh -c 'test ! -e slow || { touch checking; sleep 60; }'"])
    (lab.project / "slow").touch()
    run_id = better(lab)
    wait_until((lab.project / "checking").exists, "its check")
    lab.get("run.cancel", run_id=run_id)
    told = result(lab, run_id)
    assert (told["verdict"], told["values"]) == ("interrupted", KEPT), "it is checked after its confirmation"


def test_a_confirmation_during_which_the_seal_is_broken_keeps_what_was_measured_before(lab: Lab) -> None:
    data = lab.project / "data.txt"
    data.write_text("1")
    lab.start()
    lab.init(seal=[str(data)])
    lab.session(verdict="noise")
    edit(lab, 1.0)
    lab.run()
    run_id = better(lab, WAIT.format(when="os.environ['AR_SEED'] == '1'", go="go"))
    wait_until(lambda: lab.events("again") and state(lab, run_id) == "running", "its confirmation")
    data.write_text("2")
    (lab.project / "go").touch()
    told = result(lab, run_id)
    assert (told["verdict"], told["values"]) == ("invalid", [KEPT[0], {"seed": 1, "status": "invalid"}])
