"""A run that is held in each state of its life, for tests of what may happen there."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ardaemon.core.errors import UnknownRun
from tests.support.jobs import held_launch
from tests.support.lab import Lab, wait_until
from tests.support.shell import Shell
from tests.support.strikes import start_at_best
from tests.support.terminal import Terminal

# Answers once `go` (for every run) or `go-RUN` is there; until then the run has ended and is not judged.
LATE_METRIC = """import os, sys, time
folder, run_id = sys.argv[1], os.environ["AR_RUN_ID"]
open(f"{folder}/asked-{run_id}", "w").close()
while not (os.path.exists(f"{folder}/go") or os.path.exists(f"{folder}/go-{run_id}")):
    time.sleep(0.01)
print('{"val/loss": 1.0}')
"""


def late_metric(lab: Lab) -> dict[str, str]:
    """Settings with a metric command that makes `asked-RUN`, and waits for `go` or `go-RUN` to answer."""
    script = lab.project / "late_metric.py"
    script.write_text(LATE_METRIC)
    return {"metrics": "custom", "metric_command": f"{sys.executable} {script} {lab.project}"}


class Scene:
    """A run that is submitted by `arctl run --wait` at a terminal, or by a client that does not wait."""

    def __init__(self, lab: Lab, terminal: Terminal | None = None) -> None:
        self.lab, self.shell, self.terminal = lab, Shell(lab), terminal
        self.shell.go = lab.project / "go"  # other scenes may share the lab
        self.run_id = "r0001"
        self.client: subprocess.Popen[str] | None = None

    def ready(self, **settings: Any) -> None:
        """Start a session, and a daemon where none serves the lab yet."""
        if self.lab.process is None:
            self.lab.start()
        self.lab.init()
        self.lab.session(**settings)

    def state(self) -> str:
        """The run's state, as any client sees it."""
        try:
            return str(self.lab.get("run.get", run_id=self.run_id)["state"])
        except UnknownRun:
            return "not there yet"

    def reach(self, state: str) -> None:
        """Wait until the run is there."""
        wait_until(lambda: self.state() == state, f"{self.run_id} to be {state}")

    def submit(self, state: str) -> None:
        """Submit the run and wait until it is there."""
        if self.terminal is not None:
            self.client = self.shell.start("run", "--wait", preexec_fn=self.terminal.take)
        else:
            self.lab.submit()
        self.reach(state)


@contextmanager
def queued(scene: Scene) -> Iterator[None]:
    """Another run, r0001, has the only slot."""
    scene.ready()
    scene.shell.hold(1.0)
    scene.lab.wait(scene.lab.submit()["run_id"], until="launched")
    scene.run_id = "r0002"
    scene.lab.edit(0.5)
    scene.submit("queued")
    yield
    scene.shell.release()


@contextmanager
def launching(scene: Scene) -> Iterator[None]:
    """The shim has its orders, and no time to follow them."""
    with held_launch(scene.lab):
        scene.ready()
        scene.submit("launching")
        yield


@contextmanager
def running(scene: Scene) -> Iterator[None]:
    """The job works."""
    scene.ready()
    scene.shell.hold(1.0)
    scene.submit("running")
    yield
    scene.shell.release()


@contextmanager
def exited(scene: Scene) -> Iterator[None]:
    """The job has ended, and its metric command takes its time."""
    scene.ready(**late_metric(scene.lab))
    scene.submit("exited")
    yield
    scene.shell.release()


@contextmanager
def judged(scene: Scene) -> Iterator[None]:
    """The decision is on disk, and the daemon is held at the first write that applies it."""
    flag = start_at_best(scene.lab)
    scene.submit("judged")
    wait_until(flag.exists, "the daemon to apply its decision")
    yield
    flag.unlink()


@contextmanager
def committed(scene: Scene) -> Iterator[None]:
    """All is over, and a client that waits for it has not looked yet."""
    scene.ready()
    scene.shell.hold(1.0)
    scene.submit("running")
    if scene.client is not None:
        scene.client.send_signal(signal.SIGSTOP)
    scene.shell.release()
    scene.reach("committed")
    yield
    if scene.client is not None:
        scene.client.send_signal(signal.SIGCONT)


SCENES: dict[str, Callable[[Scene], AbstractContextManager[None]]] = {
    scene.__name__: scene for scene in (queued, launching, running, exited, judged, committed)
}
