"""No file of a project is opened, listed, renamed or removed on the event loop, on which everybody waits."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.errors import ArdaemonError
from ardaemon.core.methods import METHODS
from tests.support.jobs import launched
from tests.support.lab import Lab, wait_until
from tests.support.shell import UNTIL_TOLD

pytestmark = pytest.mark.promise("trust")

PROGRAM = "tests.support.on_loop"
SAVES = """import os, pathlib
job = pathlib.Path(os.environ["AR_RUN_DIR"])
(job / "model.bin").write_bytes(bytes(1000))
(job / "metrics.jsonl").write_text('{"val/loss": 0.3}')
print("val/loss: 0.4")
"""
PARAMS: dict[str, dict[str, Any]] = {
    "run.submit": {"submit_id": "s", "environment": {}},
    "run.wait": {"timeout": 0},
    "experiment.seal": {"accept": True},
    "session.start": {"settings": {"seconds": 20}, "environment": {}},
    "queue.move": {"run_id": "r0001", "to": "first"},
    "queue.hold": {"run_id": "r0001"},
    "queue.release": {"run_id": "r0001"},
}


def start(lab: Lab) -> Path:
    """A daemon that writes down which files it touches on its loop; where it does so."""
    log = lab.root / "on-loop"
    log.touch()
    lab.start(PROGRAM, ON_LOOP_LOG=str(log), ON_LOOP_ROOT=str(lab.root))
    return log


def ask_everything(lab: Lab) -> None:
    """Call each method about an experiment, with whatever success."""
    for name, method in METHODS.items():
        if "expr" in method.params.__struct_fields__ and name != "events.subscribe":
            with contextlib.suppress(ArdaemonError):
                lab.get(name, **PARAMS.get(name, {}))


def test_nothing_of_a_project_is_touched_on_the_event_loop(lab: Lab) -> None:
    """Not by a run that advances, crashes or is adopted, and not by any request."""
    log = start(lab)
    lab.init()
    lab.session(settle=0, checkpoint_glob="{run_dir}/*.bin", keep_checkpoints=1)
    lab.write(SAVES)
    assert lab.run()["verdict"] == "advance"
    lab.write("raise SystemExit(1)")
    assert lab.run()["status"] == "crash"
    go = lab.root / "go"
    run_id = launched(lab, UNTIL_TOLD.format(go=str(go), value=0.5))
    ask_everything(lab)
    lab.kill()
    start(lab)
    go.touch()
    wait_until((lab.folder / f"runs/{run_id}/result.json").exists, "the verdict")
    ask_everything(lab)
    lab.stop()
    touched = log.read_text().splitlines()
    assert any(str(lab.runtime) in line for line in touched), "its own files: so the daemon is watched"
    assert [line for line in touched if str(lab.project) in line] == []
