"""A session that ends by its time, or because its runs only fail."""

import time

import pytest

from ardaemon.core.errors import SessionNotLive, UsageError
from tests.support.jobs import launched
from tests.support.lab import Lab, wait_until
from tests.support.shell import UNTIL_TOLD, Shell

CRASH = "raise SystemExit(3)\n"
NO_TIME = 1e-9  # hours


def test_the_hours_go_on_while_no_daemon_is_there_and_end_it_at_the_next_submit(lab: Lab) -> None:
    lab.ready(max_hours=100)
    assert lab.tried(1.0)["hours"].endswith("/100")
    most = lab.get("session.get")["hours"] + 1 / 3600
    lab.get("session.set", given={"max_hours": most})
    over = time.time() + 1.0
    lab.kill()
    wait_until(lambda: time.time() > over, "the hours to be over")
    lab.start()
    before = sorted((lab.folder / "runs").iterdir())
    with pytest.raises(SessionNotLive, match=r"is over \(max_hours\)") as refused:
        lab.submit()
    assert "arctl session start --resume continue" in refused.value.mend
    assert sorted((lab.folder / "runs").iterdir()) == before
    session = lab.read(".ar-session.json")
    assert (session["live"], session["terminated_by"]) == (False, "max_hours")
    assert "session: not live (max_hours)" in Shell(lab)("status", "--compact")


@pytest.mark.parametrize("killed", [False, True], ids=["the same daemon", "another daemon"])
def test_what_runs_when_the_hours_are_over_is_finished_and_what_waits_is_held(lab: Lab, killed: bool) -> None:
    lab.ready()
    first = launched(lab, UNTIL_TOLD.format(go=str(lab.root / "go"), value=1))
    second = lab.submit()["run_id"]
    said = lab.get("session.set", given={"max_hours": NO_TIME})["said"]
    assert said[-1].startswith("--max-hours 1e-09 is reached already")
    assert said[-1].endswith("the next verdict, rerun or submit ends the session")
    if killed:
        lab.kill()
        lab.start()
    (lab.root / "go").touch()
    result = lab.wait(first)["result"]
    assert (result["status"], result["verdict"]) == ("ok", "advance")
    assert (result["terminated_by"], result["next"]) == ("max_hours", "stop: max_hours(1e-09)")
    wait_until(lambda: "session is over" in (lab.get("run.get", run_id=second)["why"] or ""), "it is held")


def test_a_loop_that_only_crashes_ends_and_one_that_is_cancelled_goes_on(lab: Lab) -> None:
    lab.ready(max_failures=2)
    shell = Shell(lab)
    lab.tried(1.0)
    lab.write(CRASH)
    assert lab.run()["failures"] == "1/2"
    cancelled = launched(lab, UNTIL_TOLD.format(go=str(lab.root / "go"), value=1))
    lab.get("run.cancel", run_id=cancelled)
    assert lab.wait(cancelled)["result"]["failures"] == "1/2"
    lab.tried(2.0)
    assert "failures 0/2" in shell("status", "--compact")
    lab.write("print('no value')\n")
    shown = shell("run", "--wait", code=12)
    assert shown.splitlines()[3].endswith("continue: failures 1/2")
    lab.write(CRASH)
    shown = shell("run", "--wait", code=10)
    assert shown.splitlines()[3].startswith("[r0006] stop: max_failures(2) — best val/loss=1 at r0001")
    assert lab.read(".ar-session.json")["terminated_by"] == "max_failures"
    shell("session", "start")
    lab.write(CRASH)
    assert lab.run()["failures"] == "1/2", "the next session counts anew"


@pytest.mark.parametrize("settings", [{"max_hours": 0}, {"max_gpu_hours": -1}, {"max_failures": 0}])
def test_a_limit_of_nothing_is_refused(lab: Lab, settings: dict[str, float]) -> None:
    lab.start()
    lab.init()
    (name,) = settings
    with pytest.raises(UsageError, match="--" + name.replace("_", "-")):
        lab.get("session.start", given={"seconds": 5, **settings}, environment=lab.environment)
