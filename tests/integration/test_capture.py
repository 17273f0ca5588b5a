"""A captured state through a real daemon: promoted with the best, found by the next run and by a child."""

import pickle
from typing import Any

from tests.support.jobs import job_of, launched
from tests.support.lab import Lab, wait_until

TRAIN = """import os
from ar_capture import capture, load_best, load_parent
class Model:
    weight = 0.0
    def state_dict(self):
        return {{"weight": self.weight}}
model = capture(Model())
model.weight = {value}
print("best:", load_best(), "parent:", load_parent())
print("val/loss:", model.weight)
"""


def state(lab: Lab, name: str) -> Any:
    return pickle.loads((lab.folder / name / "state.pt").read_bytes())


def tried(lab: Lab, value: float) -> str:
    """Run it; what it has found of other runs."""
    lab.write(TRAIN.format(value=value))
    run_id = lab.run()["run_id"]
    assert state(lab, f"runs/{run_id}/job") == {"weight": value}
    return (lab.folder / f"runs/{run_id}/run.log").read_text().splitlines()[0]


def test_the_best_runs_state_is_promoted_and_found_by_the_next_run(lab: Lab) -> None:
    lab.ready()
    assert tried(lab, 2.0) == "best: None parent: None"
    assert tried(lab, 3.0) == "best: {'weight': 2.0} parent: None"
    assert state(lab, "best_ckpt") == {"weight": 2.0}
    assert tried(lab, 1.0) == "best: {'weight': 2.0} parent: None"
    assert state(lab, "best_ckpt") == {"weight": 1.0}


def test_a_run_that_is_ended_at_its_limit_leaves_its_last_state_and_promotes_none(lab: Lab) -> None:
    lab.ready(seconds=0.5, startup=30, ready_regex="val/loss")
    lab.write(TRAIN.format(value=5.0) + "import time\ntime.sleep(60)\n")
    result = lab.run()
    assert (result["verdict"], result["signal"]) == ("timeout", "SIGTERM")
    assert state(lab, "runs/r0001/job") == {"weight": 5.0}
    assert not (lab.folder / "best_ckpt").exists()


def test_a_daemon_that_is_killed_meanwhile_changes_nothing(lab: Lab) -> None:
    lab.ready()
    wait = "import time\nwhile not os.path.exists(os.environ['AR_EXPR_DIR'] + '/go'): time.sleep(0.01)\n"
    run_id = launched(lab, TRAIN.format(value=4.0) + wait)
    assert job_of(lab, run_id)
    lab.kill()
    (lab.folder / "go").touch()
    wait_until((lab.folder / f"runs/{run_id}/a1/exit.json").exists, "the end of the job")
    lab.start()
    assert lab.wait(run_id)["result"]["checkpoint"] == f".ckpt/{run_id}"
    assert state(lab, "best_ckpt") == {"weight": 4.0}


def test_the_hook_of_capture_auto_is_in_the_job_and_only_where_it_was_asked_for(lab: Lab) -> None:
    lab.ready()
    lab.write(
        "import sys\nfinders = [type(finder).__name__ for finder in sys.meta_path]\n"
        "print('val/loss:', finders.count('OptimizerFinder'))\n"
    )
    assert lab.run()["primary"]["value"] == 0
    lab.get("session.stop")
    lab.session(capture="auto")
    assert lab.run()["primary"]["value"] == 1
