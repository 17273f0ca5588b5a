"""When hidden audits run: as the queue is open, and in the order of the advances."""

import json
import time
from pathlib import Path

import pytest

from ardaemon.core.config import AUDIT_AWAY_S
from tests.integration.test_audit import TRAIN, at_work, held, marks, ready, shown, tried
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured

WAITS = """import os, time
while not os.path.exists(os.environ["AUDIT_MARKS"] + "." + os.environ["AR_RUN_ID"]):
    time.sleep(0.02)
"""


@pytest.mark.parametrize("closed", ["paused", "hours"])
def test_what_keeps_runs_from_starting_keeps_audits_from_it_too(lab: Lab, closed: str) -> None:
    hour = time.localtime(time.time() + 2 * 3600).tm_hour
    configured(lab, f'cpu_slots = 1\nhours = "{hour}-{(hour + 1) % 24}"\n')
    ready(lab)
    lab.call("queue.resume", seconds=3600)
    lab.write(TRAIN.format(value=1.0) + WAITS)
    first = lab.submit()["run_id"]
    wait_until(lambda: marks(lab) == ["run r0001"], "the run to be at work")
    lab.call("queue.pause" if closed == "paused" else "queue.resume")
    (lab.root / "marks.r0001").touch()
    assert lab.wait(first)["result"]["verdict"] == "advance"
    wait_until(lambda: lab.get("audit.get")["waiting"], "its audit to wait")
    lab.write(TRAIN.format(value=0.5))
    second = lab.submit()["run_id"]
    why = lab.get("run.get", run_id=second)["why"]
    assert ("paused" if closed == "paused" else "outside of the hours") in why
    lab.call("queue.resume", seconds=3600)
    assert lab.wait(second)["result"]["verdict"] == "advance"
    shown(lab, 2)
    assert marks(lab) == ["run r0001", "run r0002", "audit r0001", "audit r0002"]


def test_audits_go_on_in_the_order_of_the_advances_after_a_kill(lab: Lab) -> None:
    """Both wait when the first one begins, by which its entry becomes the newer file."""
    configured(lab, "cpu_slots = 2\n")
    ready(lab)
    hold = held(lab)
    for value in (1.0, 0.5):
        lab.write(TRAIN.format(value=value) + WAITS)
        lab.submit()
    wait_until(lambda: sorted(marks(lab)) == ["run r0001", "run r0002"], "both runs to be at work")
    lab.call("queue.pause")
    for run_id in ("r0001", "r0002"):
        (lab.root / f"marks.{run_id}").touch()
        assert lab.wait(run_id)["result"]["verdict"] == "advance"
    wait_until(lambda: len([*(lab.home / "audits-waiting").iterdir()]) == 2, "both audits to wait")
    lab.call("queue.resume")
    at_work(lab, 1)
    lab.kill()
    hold.unlink()
    lab.start()
    shown(lab, 2)
    assert marks(lab, "audit") == ["audit r0001", "audit r0001", "audit r0002"]


def test_a_project_that_was_back_in_between_was_not_away_all_the_time(lab: Lab) -> None:
    """Away on the first day and on the eighth, and in between neither audit got a place."""
    configured(lab, "cpu_slots = 2\n")
    ready(lab)
    hold = held(lab)
    for value in (1.0, 0.5):
        assert tried(lab, value) == "advance"
    at_work(lab, 1)
    lab.call("queue.pause")
    lab.kill()
    hold.unlink()
    entries = [*(lab.home / "audits-waiting").iterdir()]
    for entry in entries:
        waiting = {**json.loads(entry.read_text()), "away_since": time.time() - AUDIT_AWAY_S - 1}
        entry.write_text(json.dumps(waiting))
    lab.start()
    wait_until(lambda: not any(map(away_since, entries)), "both to be seen back, without a place")
    lab.kill()
    away = lab.project.rename(lab.root / "away")
    lab.start()
    wait_until(lambda: len(lab.events("audit not made")) == 2, "the look at both")
    away.rename(lab.project)
    lab.call("queue.resume")
    assert [row["problem"] for row in shown(lab, 2)["rows"]] == ["", ""]


def away_since(entry: Path) -> float:
    return float(json.loads(entry.read_text()).get("away_since", 0.0))
