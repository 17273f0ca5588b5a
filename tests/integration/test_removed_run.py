"""Somebody removes a run's folder.

The job is ended and verified, nobody gets its slot before that, and its id is never used again.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.jobs import alive, held_launch, job_of, launched, shim_of
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured
from tests.support.shell import Shell

pytestmark = pytest.mark.promise("removed-run")

OTHER = "261122-other"
GRACE_S = 0.5
LIMIT_S = 300  # no job of these tests ends by it
WAIT_S = 50.0
# Alone in its slot, or it fails; deaf to TERM, so that its end takes the grace; ends when it is told to.
ALONE = """import contextlib, fcntl, os, signal, sys, time
slot = open({slot!r}, "a")
try:
    fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit("two jobs in one slot")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
while not os.path.exists({go!r}):
    if {makes_again}:
        with contextlib.suppress(OSError):  # whoever removes the folder may be between two of its parents
            os.makedirs(os.environ["AR_RUN_DIR"], exist_ok=True)
            open({slot!r} + "-made", "w").close()
    time.sleep(0.01)
print("val/loss: {value}")
"""


class Removed:
    """A lab in which runs share one slot, and tell when they do not."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.shell = lab, Shell(lab)
        configured(lab, f"grace = {GRACE_S}\n")
        lab.ready(seconds=LIMIT_S)

    def text(self, value: float, go: str = "go", makes_again: bool = False) -> str:
        """A script that runs until the file `go` is there."""
        slot, path = str(self.lab.root / "slot"), str(self.lab.root / go)
        return ALONE.format(slot=slot, go=path, value=value, makes_again=makes_again)

    def running(self, makes_again: bool = False) -> int:
        """r0001 runs, and is deaf; its job."""
        run_id = launched(self.lab, self.text(1.0, "never", makes_again))
        log = self.lab.folder / f"runs/{run_id}/a1/run.log"
        wait_until(lambda: "deaf" in log.read_text(), "the job to be deaf")
        return job_of(self.lab, run_id)

    def submit(self, value: float = 0.5) -> str:
        """Another candidate, which ends once it has the slot."""
        self.shell.release()
        self.lab.write(self.text(value))
        return str(self.lab.submit()["run_id"])

    def judged(self, run_id: str) -> None:
        """That run had the slot for itself, and nothing else is left."""
        view = self.lab.wait(run_id, timeout=WAIT_S)
        result = view["result"]
        assert result is not None, f"{run_id} is {view['state']}: {view['why']}"
        log = (self.lab.folder / f"runs/{run_id}/a1/run.log").read_text()
        assert (result["run_id"], result["status"]) == (run_id, "ok"), (result["reason"], log)
        assert result["primary"]["value"] == 0.5
        wait_until(lambda: not self.lab.call("queue.list")["runs"], "an empty queue")
        assert not list((self.lab.home / "active").iterdir())
        assert self.jobs() == []

    def jobs(self) -> list[int]:
        """Every process of any run."""
        return [pid for pid in self.lab.processes() if b"AR_RUN_ID=" in environment(pid)]


def environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def removed(lab: Lab) -> Removed:
    """One slot, a grace of half a second, and a session."""
    return Removed(lab)


def rm(lab: Lab, what: str = "runs/r0001") -> None:
    shutil.rmtree(lab.folder / what, ignore_errors=True)  # a job may make its folder again meanwhile
    assert not (lab.folder / what / "run.json").exists()


def mv(lab: Lab) -> None:
    (lab.folder / "runs/r0001").rename(lab.project / "kept")


@pytest.mark.parametrize("away", [rm, mv])
def test_the_next_run_waits_for_the_end_of_the_removed_one_and_has_another_id(
    removed: Removed, away: Callable[[Lab], None]
) -> None:
    job, shim = removed.running(), shim_of(removed.lab, "r0001")
    away(removed.lab)
    second = removed.submit()
    removed.judged(second)
    assert not alive(job)
    assert not alive(shim)
    assert second == "r0002"
    if away is mv:
        assert "deaf" in (removed.lab.project / "kept/a1/run.log").read_text()


def test_a_run_whose_job_makes_its_folder_again_is_removed_all_the_same(removed: Removed) -> None:
    """As a script does that makes the folder of its checkpoint before each save."""
    job = removed.running(makes_again=True)
    made = removed.lab.root / "slot-made"
    rm(removed.lab)
    made.unlink(missing_ok=True)
    wait_until(made.exists, "the job to make its folder again")  # which may be removed before it is seen
    second = removed.submit()
    removed.judged(second)
    assert second == "r0002"
    assert not alive(job)


@pytest.mark.parametrize("wish", [["cancel", "r0001"], ["session", "stop"]], ids=" ".join)
def test_a_removed_run_can_be_interrupted(removed: Removed, wish: list[str]) -> None:
    job = removed.running()
    rm(removed.lab)
    removed.shell.end(removed.shell.start(*wish))
    wait_until(lambda: not alive(job), "the end of the job")
    wait_until(lambda: not removed.lab.call("queue.list")["runs"], "the end of the run")
    if wish[0] == "session":
        removed.lab.session(resume="continue", seconds=LIMIT_S)
    removed.judged(removed.submit())


def test_the_id_of_a_removed_run_is_not_used_again_by_the_next_daemon(removed: Removed) -> None:
    job = removed.running()
    rm(removed.lab)
    removed.shell.end(removed.shell.start("cancel", "r0001"))
    wait_until(lambda: not alive(job) and not removed.lab.call("queue.list")["runs"], "the end of the run")
    removed.lab.kill()
    removed.lab.start()
    second = removed.submit()
    removed.judged(second)
    assert second == "r0002"


def test_who_waits_for_a_removed_run_is_told_what_became_of_it(removed: Removed) -> None:
    removed.lab.write(removed.text(1.0, "never"))
    client = removed.shell.start("run", "--wait")
    wait_until(lambda: removed.shell.states() == ["running"], "the run to run")
    rm(removed.lab)
    second = removed.submit()
    code, _, err = removed.shell.end(client)
    assert code != 0
    assert "r0001" in err
    assert "gone" in err
    assert "tried again" not in err, "nothing is tried again"
    removed.judged(second)


def test_a_run_that_is_removed_from_the_queue_is_forgotten_and_its_id_is_not_used_again(
    removed: Removed,
) -> None:
    removed.running()
    second = removed.submit(0.9)
    rm(removed.lab, f"runs/{second}")
    third = removed.submit(0.5)
    assert third == "r0003"
    view = removed.lab.call("queue.list")["runs"]
    assert [(run["run_id"], run["state"]) for run in view] == [("r0001", "running"), ("r0003", "queued")]
    removed.lab.get("run.cancel", run_id="r0001")
    removed.judged(third)


def test_a_run_that_is_removed_while_it_is_launching_takes_no_slot_for_ever(removed: Removed) -> None:
    with held_launch(removed.lab):
        removed.lab.write(removed.text(1.0, "never"))
        removed.lab.submit()
        wait_until(lambda: removed.lab.get("run.get", run_id="r0001")["state"] == "launching", "the launch")
        rm(removed.lab)
        second = removed.submit()
    removed.judged(second)
    assert second == "r0002"


# --- with a restart of the daemon in between ---


def test_what_is_removed_while_no_daemon_lives_is_ended_by_the_next_one(removed: Removed) -> None:
    job = removed.running()
    removed.lab.kill()
    rm(removed.lab)
    removed.lab.start()
    second = removed.submit()
    removed.judged(second)
    assert second == "r0002"
    assert not alive(job)


def test_an_id_that_a_daemon_finds_removed_is_not_used_again_when_nothing_else_is_left_of_it(
    removed: Removed,
) -> None:
    removed.running()
    removed.lab.kill()
    rm(removed.lab)
    removed.lab.start()
    active = removed.lab.home / "active"
    wait_until(lambda: not list(active.iterdir()), "the end of the job, and of the run's active entry")
    second = removed.submit()
    removed.judged(second)
    assert second == "r0002"


def test_a_waiting_run_that_is_removed_while_no_daemon_lives_keeps_its_id(removed: Removed) -> None:
    removed.running()
    second = removed.submit(0.9)
    removed.lab.kill()
    rm(removed.lab, f"runs/{second}")
    removed.lab.start()
    third = removed.submit(0.5)
    removed.lab.get("run.cancel", run_id="r0001")
    removed.judged(third)
    assert third == "r0003"
    assert removed.lab.call("queue.list")["warnings"] == []


def test_a_launch_whose_folder_is_removed_while_no_daemon_lives_is_forgotten(removed: Removed) -> None:
    with held_launch(removed.lab):
        removed.lab.write(removed.text(1.0, "never"))
        removed.lab.submit()
        wait_until(lambda: removed.lab.get("run.get", run_id="r0001")["state"] == "launching", "the launch")
        removed.lab.kill()
        rm(removed.lab)
        removed.lab.start()
    second = removed.submit()
    removed.judged(second)
    assert second == "r0002"


# --- more than a run ---


@pytest.mark.parametrize("what", ["runs/r0001", "runs", "."])
def test_whatever_is_removed_the_slot_goes_on_to_others_when_the_job_has_ended(
    removed: Removed, what: str
) -> None:
    """Nobody asks for anything of that experiment."""
    lab = removed.lab
    job = job_of(lab, launched(lab, removed.text(1.0, "first")))
    log = lab.folder / "runs/r0001/a1/run.log"
    wait_until(lambda: "deaf" in log.read_text(), "the script to be read and at work")
    rm(lab, what)
    removed.shell.release()
    where = another(lab, removed.text(0.5))
    assert lab.call("run.get", **where, run_id="r0001")["state"] == "queued"
    (lab.root / "first").touch()
    wait_until(lambda: not alive(job), "the end of the job")
    result = lab.call("run.wait", **where, run_id="r0001", timeout=WAIT_S)["result"]
    assert result is not None, "the slot was not given back"
    assert result["status"] == "ok", result["reason"]


def another(lab: Lab, text: str) -> dict[str, Any]:
    """Another experiment of the project, with a run that waits; how it is named in a call."""
    where = {"project": str(lab.project), "expr": OTHER}
    source = lab.project / "other.py"
    source.write_text(text)
    names = {"primary_metric": "val/loss", "primary_direction": "min", "train": str(source)}
    lab.call("experiment.init", project=str(lab.project), slug=OTHER, **names)
    settings = {"seconds": LIMIT_S, "settle": 1}
    lab.call("session.start", **where, settings=settings, environment=lab.environment)
    lab.call("run.submit", **where, submit_id=os.urandom(8).hex(), environment=lab.environment)
    return where


def test_an_experiment_that_is_removed_and_made_again_does_not_run_beside_itself(removed: Removed) -> None:
    lab, job = removed.lab, removed.running()
    rm(lab, ".")
    lab.init()
    lab.session()
    again = removed.submit()
    removed.judged(again)
    assert not alive(job)
    assert lab.read(f"runs/{again}/result.json")["primary"]["value"] == 0.5
