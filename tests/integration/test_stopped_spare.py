"""A shim that is stopped before its job is spawned holds up neither its run nor a stop of the daemon."""

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from ardaemon.engines.local.beginning import BEGIN_S
from ardaemon.host import proc
from tests.support.halting import ACKNOWLEDGE_S
from tests.support.jobs import alive, children_of, launched, parked_of, shim_of, stop, stopped
from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.machine import with_gpus
from tests.support.shell import Shell

pytestmark = pytest.mark.promise("stopped-spare")

HALTING = "tests.support.halting"
STOP_S = 25.0  # until a stop is given up here; `arctl daemon stop` itself waits for 30 s
RUN_S = 50.0  # until a verdict is given up
PATIENT_S = 20.0  # longer than the test takes from the stopped shim to the daemon's end, or to a cancel
# Every launch leaves a mark: a second one would be seen.
MARKED = (
    "import os, pathlib\n"
    "with open(pathlib.Path(os.environ['AR_EXPR_DIR']).parent.parent / 'launches', 'a') as file:\n"
    "    file.write(os.environ['AR_RUN_ID'] + chr(10))\n"
    "print('val/loss: 1')\n"
)
SLEEP = "import time\nprint('val/loss: 1', flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """A world whose daemon starts its shims itself: they are found as its children."""
    lab.forges_helpers = False
    return lab


def halting(lab: Lab, where: str, patience: float = ACKNOWLEDGE_S) -> Lab:
    """A daemon whose first shim is stopped there, and which waits so long for its answer; and a session."""
    lab.environment |= {"HALT": where, "HALTED": str(lab.root / "halted")}
    lab.start(HALTING, ACKNOWLEDGE_S=str(patience))
    lab.init()
    lab.session(seconds=300)
    return lab


def given_to_a_stopped_shim(lab: Lab) -> tuple[str, int]:
    """A run that is launched, and its shim, which was stopped.

    Without patience the daemon may have ended that shim by now, and given the run to another one.
    """
    spare = parked_of(lab)
    lab.write(MARKED)
    run_id: str = lab.submit()["run_id"]
    lab.stopped.append(spare)
    wait_until((lab.root / "halted").exists, "the shim to be halted")
    return run_id, spare


def waited_for(lab: Lab, where: str) -> tuple[str, int]:
    """The same with a daemon that waits for the shim until it is killed here."""
    run_id, shim = given_to_a_stopped_shim(halting(lab, where, PATIENT_S))
    wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "launching", "the launch")
    stopped(lab, shim)
    lab.kill()
    assert proc.stopped(shim)
    return run_id, shim


def judged(lab: Lab, run_id: str, seconds: float = RUN_S) -> dict[str, Any]:
    """Its result, before long."""
    answer = lab.wait(run_id, timeout=seconds)
    assert answer["result"] is not None, f"{run_id} is {answer['state']}: {answer['why']}"
    result: dict[str, Any] = answer["result"]
    return result


def launches(lab: Lab) -> list[str]:
    return (lab.project / "launches").read_text().split()


# --- parked ---


def test_a_spare_that_is_stopped_is_replaced_before_it_gets_a_run(lab: Lab) -> None:
    lab.ready()
    spare = stop(lab, parked_of(lab))
    lab.write(MARKED)
    assert judged(lab, lab.submit()["run_id"])["verdict"] == "advance"
    assert [event["pid"] for event in lab.events("spare shim replaced")] == [spare]
    assert not alive(spare)
    assert launches(lab) == ["r0001"]


def test_a_daemon_that_is_stopped_ends_its_stopped_spare(lab: Lab) -> None:
    lab.ready()
    spare = stop(lab, parked_of(lab))
    assert_stops(lab)
    assert not alive(spare)


def test_a_daemon_stops_while_a_jobs_shim_is_stopped_and_the_next_one_goes_on_with_it(lab: Lab) -> None:
    lab.ready()
    run_id = launched(lab, SLEEP)
    shim = stop(lab, shim_of(lab, run_id))
    assert_stops(lab)
    lab.start()
    lab.get("run.cancel", run_id=run_id)
    assert judged(lab, run_id)["status"] == "interrupted"
    assert not alive(shim)


def test_a_daemon_stops_while_its_nvml_worker_is_stopped(lab: Lab) -> None:
    with_gpus(lab, 1)
    lab.ready()
    lab.call("gpu.list")
    workers = wait_until(lambda: children_of(lab, "nvml_worker"), "the NVML worker")
    for pid in workers:
        stop(lab, pid)
    asking = Shell(lab).start("gpus")
    assert_stops(lab)
    asking.communicate(timeout=DEADLINE_S)
    assert not any(map(alive, workers))


def assert_stops(lab: Lab) -> None:
    """`arctl daemon stop` does its work, and the daemon has waited for nobody in vain."""
    stopping = Shell(lab).start("daemon", "stop")
    try:
        _, err = stopping.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        stopping.kill()
        stopping.communicate()
        raise AssertionError(f"the daemon has not stopped within {STOP_S:g} s") from None
    assert stopping.returncode == 0, err
    assert lab.process is not None
    lab.process.wait(DEADLINE_S)
    assert not lab.events("left threads behind")


# --- given an attempt ---


@pytest.mark.parametrize("where", ["give", "create", "rename"])
def test_a_shim_that_is_stopped_before_it_begins_is_ended_and_the_run_goes_to_another(
    lab: Lab, where: str
) -> None:
    run_id, shim = given_to_a_stopped_shim(halting(lab, where))
    result = judged(lab, run_id)
    assert (result["verdict"], result["attempts"]) == ("advance", 1)
    assert not alive(shim)
    assert launches(lab) == [run_id]


@pytest.mark.parametrize("where", ["give", "create"])
def test_a_daemon_that_finds_such_an_attempt_does_the_same(lab: Lab, where: str) -> None:
    run_id, shim = waited_for(lab, where)
    lab.start(HALTING)
    result = judged(lab, run_id)
    assert (result["verdict"], result["attempts"]) == ("advance", 1)
    assert not alive(shim)
    assert launches(lab) == [run_id]


def test_a_run_that_is_cancelled_meanwhile_is_interrupted_and_never_launched(lab: Lab) -> None:
    run_id, shim = given_to_a_stopped_shim(halting(lab, "give", patience=3.0))
    lab.get("run.cancel", run_id=run_id)
    assert judged(lab, run_id)["status"] == "interrupted"
    assert not alive(shim)
    assert not (lab.project / "launches").exists()


def test_a_cancel_that_comes_before_the_shim_begins_ends_the_shim_at_once(lab: Lab) -> None:
    run_id, shim = waited_for(lab, "give")
    lab.start()  # it waits for the shim for BEGIN_S
    lab.get("run.cancel", run_id=run_id)
    assert judged(lab, run_id, BEGIN_S - 2)["status"] == "interrupted"
    assert not alive(shim)
    assert not (lab.project / "launches").exists()


def test_a_shim_that_is_stopped_once_it_has_begun_is_left_alone_and_goes_on_when_it_is_woken(
    lab: Lab,
) -> None:
    run_id, shim = waited_for(lab, "spawn")
    assert (lab.folder / f"runs/{run_id}/a1/start.json").exists()
    lab.start(HALTING)
    wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "running", "the run to be followed")
    assert proc.stopped(shim)
    os.kill(shim, signal.SIGCONT)
    result = judged(lab, run_id)
    assert (result["verdict"], result["attempts"]) == ("advance", 1)
    assert launches(lab) == [run_id]


def test_a_shim_whose_folder_is_away_is_not_taken_for_one_that_never_began(lab: Lab) -> None:
    halting(lab, "never")
    run_id = launched(lab, SLEEP)
    shim = shim_of(lab, run_id)
    lab.kill()
    folder = lab.folder / f"runs/{run_id}/a1"
    folder.rename(folder.with_name("away"))
    lab.start(HALTING)
    wait_until(lambda: lab.events("blocked"), "the daemon's word that it cannot tell")
    assert alive(shim)
    folder.with_name("away").rename(folder)
    lab.get("run.cancel", run_id=run_id)
    result = lab.folder / f"runs/{run_id}/result.json"
    wait_until(result.exists, "the verdict, once it is tried again")
    assert json.loads(result.read_bytes())["status"] == "interrupted"
