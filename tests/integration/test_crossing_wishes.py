"""Wishes that cross something else: a place that gets free, a disk that refuses, a kill, another commit."""

import errno
import json
import sys
import threading

import pytest

from ardaemon.core import errors
from tests.integration.test_checkpoints import configured
from tests.integration.test_races import deaf
from tests.support.jobs import launched
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.states import METRIC_COMMAND, Scene

pytestmark = pytest.mark.promise("wishes")

TOO_MUCH = "import time\nheld = bytearray(400 << 20)\nprint('val/loss: 1', flush=True)\ntime.sleep(60)\n"
# Answers once its own run may.
COMMAND = """import os, time
run_id = os.environ['AR_RUN_ID']
open(f'{root}/asked-{{run_id}}', 'x').close()
while not os.path.exists(f'{root}/go-{{run_id}}'):
    time.sleep(0.01)
print('{{"val/loss": 1.0}}')
"""


def held_wish(lab: Lab, run_id: str) -> dict[str, object]:
    """The plan that holds the daemon at the second write of the run's active entry: a wish."""
    lab.start()
    folder = str(lab.home / "active").replace(str(lab.root), "~")
    lab.stop()
    at = ["daemon", "rename", f"{folder}/.HASH-{run_id}.json.tmp -> {folder}/HASH-{run_id}.json", 2]
    return {"at": at, "do": "wait", "flag": str(lab.root / "flag"), "root": str(lab.root)}


def test_a_run_whose_cancel_is_being_written_is_judged_once_though_a_place_gets_free(lab: Lab) -> None:
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(held_wish(lab, "r0002")))
    lab.init()
    lab.session()
    scene, flag = Scene(lab), lab.root / "flag"
    scene.shell.hold(1.0)
    first = lab.submit()["run_id"]
    lab.wait(first, until="launched")
    lab.edit(0.5)
    second = lab.submit()["run_id"]
    client = lab.rpc()
    params = {"project": str(lab.project), "expr": lab.folder.name, "run_id": second}
    cancel = threading.Thread(target=client.call, args=("run.cancel",), kwargs=params)
    cancel.start()
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


def twice_refused(lab: Lab, run_id: str) -> dict[str, object]:
    """The plan that fails the first wish that is written into the run's active entry: a broken disk."""
    return {**held_wish(lab, run_id), "do": errno.EIO}


def test_a_wish_that_could_not_be_written_is_written_when_it_is_made_again(lab: Lab) -> None:
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(twice_refused(lab, "r0001")))
    lab.init()
    lab.session()
    run_id = deaf(lab, 60)
    with pytest.raises(errors.StorageError):
        lab.get("run.cancel", run_id=run_id)
    lab.get("run.cancel", run_id=run_id)
    (entry,) = (lab.home / "active").glob(f"*-{run_id}.json")
    assert json.loads(entry.read_bytes())["wanted"] == "cancel"


def test_a_session_stop_that_cannot_be_written_says_that_it_is_the_disk(lab: Lab) -> None:
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(twice_refused(lab, "r0001")))
    lab.init()
    lab.session()
    deaf(lab, 60)
    with pytest.raises(errors.StorageError):
        lab.get("session.stop")


def test_a_cancel_that_comes_after_a_limit_changes_no_verdict_for_the_next_daemon(lab: Lab) -> None:
    script, go = lab.root / "command.py", lab.root / "go"
    script.write_text(METRIC_COMMAND.format(go=str(go)))
    command = f"{sys.executable} {script}"
    lab.ready(max_rss=150, metrics="custom", metric_command=command)
    run_id = launched(lab, TOO_MUCH)
    wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "exited", "the limit to end it")
    lab.get("run.cancel", run_id=run_id)
    lab.kill()
    lab.start()
    go.touch()
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["reason"].split(" ")[0]) == ("crash", "rss_limit")


def test_a_stop_that_comes_while_another_run_is_committed_ends_the_session(lab: Lab) -> None:
    configured(lab, "cpu_slots = 2\n")
    best = f"~/p/.autoresearch/{SLUG}/best.json"
    at = ["daemon", "rename", f"{best.replace('best', '.best')}.tmp -> {best}", 1]
    flag = lab.root / "flag"
    plan = {"at": at, "do": "wait", "flag": str(flag), "root": str(lab.root)}
    script = lab.root / "command.py"
    script.write_text(COMMAND.format(root=str(lab.root)))
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(plan))
    lab.init()
    lab.session(metrics="custom", metric_command=f"{sys.executable} {script}")
    first, second = lab.submit()["run_id"], lab.submit()["run_id"]
    wait_until(lambda: len(list(lab.root.glob("asked-*"))) == 2, "both to have ended")
    (lab.root / f"go-{first}").touch()
    wait_until(flag.exists, "the first to be committed, alone with the experiment")
    curve = lab.folder / f"runs/{second}/a1/curve.jsonl"
    (lab.root / f"go-{second}").touch()
    wait_until(curve.exists, "what is judged of the second to be gathered")
    lab.get("run.cancel", run_id=second, manual=True)
    flag.unlink()
    assert lab.wait(second)["result"]["terminated_by"] == "manual"
    assert lab.get("session.get")["session"]["live"] is False


def test_a_wish_that_is_written_while_the_run_is_committed_leaves_no_entry_of_it(lab: Lab) -> None:
    script, go, flag = lab.root / "command.py", lab.root / "go", lab.root / "flag"
    script.write_text(METRIC_COMMAND.format(go=str(go)))
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(held_wish(lab, "r0001")))
    lab.init()
    lab.session(metrics="custom", metric_command=f"{sys.executable} {script}")
    run_id = lab.submit()["run_id"]
    wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "exited", "its job to end")
    client = lab.rpc()
    params = {"project": str(lab.project), "expr": lab.folder.name, "run_id": run_id}
    cancel = threading.Thread(target=client.call, args=("run.cancel",), kwargs=params)
    cancel.start()
    wait_until(flag.exists, "the wish to be written")
    go.touch()
    wait_until((lab.folder / f"runs/{run_id}/result.json").exists, "the result")
    flag.unlink()
    cancel.join()
    lab.wait(run_id)
    assert not list((lab.home / "active").iterdir())
