"""Wishes that cross something else: a place that gets free, a disk that refuses, a kill, another commit."""

import errno
import json
import threading

import pytest

from ardaemon.core import errors
from tests.integration.test_races import deaf
from tests.support.jobs import launched
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured
from tests.support.shell import UNTIL_TOLD, Shell
from tests.support.states import Scene, late_metric
from tests.support.strikes import start_at_best, start_at_signal, start_at_wish

pytestmark = pytest.mark.promise("wishes")

TOO_MUCH = "import time\nheld = bytearray(400 << 20)\nprint('val/loss: 1', flush=True)\ntime.sleep(60)\n"


def cancelling(lab: Lab, run_id: str) -> threading.Thread:
    """Cancel the run in a thread: the daemon answers when the wish is written."""
    client = lab.rpc()
    params = {"project": str(lab.project), "expr": lab.folder.name, "run_id": run_id}
    cancel = threading.Thread(target=client.call, args=("run.cancel",), kwargs=params)
    cancel.start()
    return cancel


def test_a_run_whose_cancel_is_being_written_is_judged_once_though_a_place_gets_free(lab: Lab) -> None:
    flag, scene = start_at_wish(lab, "r0002"), Scene(lab)
    scene.shell.hold(1.0)
    first = lab.submit()["run_id"]
    lab.wait(first, until="launched")
    lab.edit(0.5)
    second = lab.submit()["run_id"]
    cancel = cancelling(lab, second)
    wait_until(flag.exists, "the wish to be written")
    scene.shell.release()  # the only place gets free
    wait_until(lambda: lab.events("ended"), "the first to end")
    flag.unlink()
    cancel.join()
    lab.wait(first)
    lab.wait(second)
    third = lab.tried(0.4)["run_id"]  # who would judge the second once more had his turn by then
    assert sorted(event["run_id"] for event in lab.events("committed")) == [first, second, third]
    assert not lab.events("drive failed")
    counters = lab.get("session.get")["session"]["counters"]
    assert counters["since_start"] == 3


def test_a_wish_that_could_not_be_written_is_written_when_it_is_made_again(lab: Lab) -> None:
    start_at_wish(lab, "r0001", errno.EIO)
    run_id = deaf(lab, 60)
    with pytest.raises(errors.StorageError):
        lab.get("run.cancel", run_id=run_id)
    lab.get("run.cancel", run_id=run_id)
    (entry,) = (lab.home / "active").glob(f"*-{run_id}.json")
    assert json.loads(entry.read_bytes())["wanted"] == "cancel"


def test_a_session_stop_that_cannot_be_written_says_that_it_is_the_disk(lab: Lab) -> None:
    start_at_wish(lab, "r0001", errno.EIO)
    deaf(lab, 60)
    with pytest.raises(errors.StorageError):
        lab.get("session.stop")


@pytest.mark.parametrize("killed", [False, True])
def test_a_cancel_that_crosses_the_end_of_its_job_is_told_what_becomes_of_the_run(
    lab: Lab, killed: bool
) -> None:
    """The job ends by itself while the stop is being sent."""
    flag, shell = start_at_signal(lab, **late_metric(lab)), Shell(lab)
    run_id = launched(lab, UNTIL_TOLD.format(go=str(shell.go), value=1.0))
    cancel = shell.start("cancel", run_id)
    wait_until(flag.exists, "the stop to be sent")
    shell.release()
    wait_until(lambda: lab.events("ended"), "the end of the job")
    flag.unlink()
    said = "".join(cancel.communicate(timeout=20))
    if killed:
        lab.kill()
        lab.start()
    (lab.project / "go").touch()
    assert "cancelled" in said
    assert lab.wait(run_id)["result"]["status"] == "interrupted"


def test_a_cancel_that_comes_after_a_limit_changes_no_verdict_for_the_next_daemon(lab: Lab) -> None:
    lab.ready(max_rss=150, **late_metric(lab))
    run_id = launched(lab, TOO_MUCH)
    wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "exited", "the limit to end it")
    lab.get("run.cancel", run_id=run_id)
    lab.kill()
    lab.start()
    (lab.project / "go").touch()
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["reason"].split(" ")[0]) == ("crash", "rss_limit")


def test_a_stop_that_comes_while_another_run_is_committed_ends_the_session(lab: Lab) -> None:
    configured(lab, "cpu_slots = 2\n")
    flag = start_at_best(lab, **late_metric(lab))
    first, second = lab.submit()["run_id"], lab.submit()["run_id"]
    wait_until(lambda: len(list(lab.project.glob("asked-*"))) == 2, "both to have ended")
    (lab.project / f"go-{first}").touch()
    wait_until(flag.exists, "the first to be committed, alone with the experiment")
    curve = lab.folder / f"runs/{second}/a1/curve.jsonl"
    (lab.project / f"go-{second}").touch()
    wait_until(curve.exists, "what is judged of the second to be gathered")
    lab.get("run.cancel", run_id=second, manual=True)
    flag.unlink()
    assert lab.wait(second)["result"]["terminated_by"] == "manual"
    assert lab.get("session.get")["session"]["live"] is False


def test_a_wish_that_is_written_while_the_run_is_committed_leaves_no_entry_of_it(lab: Lab) -> None:
    flag = start_at_wish(lab, "r0001", **late_metric(lab))
    run_id = lab.submit()["run_id"]
    wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "exited", "its job to end")
    cancel = cancelling(lab, run_id)
    wait_until(flag.exists, "the wish to be written")
    (lab.project / "go").touch()
    wait_until((lab.folder / f"runs/{run_id}/result.json").exists, "the result")
    flag.unlink()
    cancel.join()
    lab.wait(run_id)
    assert not list((lab.home / "active").iterdir())
