"""A project's disk stops answering: that project waits for it, and everything else goes on."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ardaemon.core.errors import StorageError
from tests.support.impatient import ANSWER_S
from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.machine import configured
from tests.support.neighbour import Neighbour
from tests.support.pulse import served_s
from tests.support.stuck import Stuck, stuck

pytestmark = pytest.mark.promise("dead-disk")

IMPATIENT = "tests.support.impatient"
SOON_S = 3.0  # an answer that waits for no disk: less than ANSWER_S
WAITS = """import os, time
print("val/loss: 0", flush=True)
while not os.path.exists({go!r}):
    time.sleep(0.01)
"""


class World:
    """A project whose disk can be taken away, and another one."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        configured(lab, "cpu_slots = 3\n")
        lab.start(IMPATIENT)
        lab.init()
        lab.session(seconds=300, settle=0)
        self.neighbour = Neighbour(lab)
        assert lab.tried(1)["verdict"] == "advance"

    def running(self) -> str:
        """A run of the project that is at work until the file `go` is there."""
        self.lab.write(WAITS.format(go=str(self.lab.root / "go")))
        run_id = str(self.lab.submit()["run_id"])
        log = self.lab.folder / f"runs/{run_id}/a1/run.log"
        wait_until(
            lambda: log.exists() and "val/loss" in log.read_text(), "the script to be read and at work"
        )
        wait_until(lambda: self.lab.get("run.get", run_id=run_id)["state"] == "running", "the job")
        return run_id

    def verdict(self, run_id: str) -> str:
        """Wait for it as nobody does who asks run.wait, which says at once what still holds a run up."""
        result = wait_until(lambda: self.lab.get("run.get", run_id=run_id)["result"], "the verdict")
        return str(result["verdict"])

    def others_go_on(self) -> None:
        """Another project, and what is about the whole machine, is answered as ever."""

        def look() -> None:
            assert self.lab.call("daemon.info")["pid"] == self.lab.pid
            assert self.neighbour.ask("status.get")["session"]["live"]
            self.lab.call("queue.list")

        assert served_s(self.lab.pid, look) < SOON_S
        assert self.neighbour.tried() in ("advance", "revert")

    def refused(self, method: str = "status.get", **params: Any) -> StorageError:
        """What the daemon says to a call on the project whose disk is dead."""
        with pytest.raises(StorageError) as error:
            self.lab.get(method, **params)
        return error.value

    def arctl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "arctl", *arguments],
            cwd=self.lab.root,
            env=self.lab.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def world(lab: Lab) -> World:
    return World(lab)


@pytest.fixture
def dead(world: World) -> Iterator[Stuck]:
    """The disk of the project does not answer, from the first use of this on."""
    with stuck(world.lab.folder.parent) as disk:
        yield disk


@pytest.fixture
def run_id(world: World) -> str:
    return world.running()


def test_a_dead_disk_is_told_of_and_others_go_on_until_it_answers_again(
    world: World, run_id: str, dead: Stuck
) -> None:
    first = threading.Thread(target=lambda: world.refused())
    first.start()
    world.others_go_on()
    error = world.refused()
    assert f"{world.lab.project} has not answered for {ANSWER_S:g} s" in error.message
    assert "findmnt" in error.mend

    def ask() -> None:
        for method in ("status.get", "run.get", "run.list", "run.tail", "session.get", "run.cancel"):
            assert world.refused(method).message == error.message
        assert world.refused("run.submit", submit_id="s", environment={}).message == error.message

    assert served_s(world.lab.pid, ask) < SOON_S
    world.others_go_on()
    first.join()
    dead.release()
    wait_until(lambda: answers(world.lab), "the disk's answer")
    (world.lab.root / "go").touch()
    assert world.verdict(run_id) == "advance"


def test_a_run_that_ends_on_a_dead_disk_is_judged_when_that_answers(
    world: World, run_id: str, dead: Stuck
) -> None:
    (world.lab.root / "go").touch()
    world.others_go_on()
    dead.release()
    wait_until(lambda: answers(world.lab), "the disk's answer")
    assert world.verdict(run_id) == "advance"


def test_the_daemon_stops_and_its_successor_serves_the_others(world: World, run_id: str, dead: Stuck) -> None:
    world.refused()
    before = world.lab.process
    assert before is not None
    stopped = world.arctl("daemon", "stop")
    assert stopped.returncode == 0, stopped.stderr
    world.lab.close_clients()
    world.lab.start(IMPATIENT)
    assert world.neighbour.tried() in ("advance", "revert")
    dead.release()
    before.wait(DEADLINE_S)  # what hung on the disk kept its process
    (world.lab.root / "go").touch()
    wait_until(lambda: answers(world.lab), "the disk's answer")
    wait_until(lambda: world.lab.get("run.get", run_id=run_id)["result"], "the verdict", 90.0)


def answers(lab: Lab) -> bool:
    try:
        lab.get("status.get")
    except StorageError:
        return False
    return True
