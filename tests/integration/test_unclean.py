"""What cannot be killed: the run is unclean, its slot in quarantine for all, until a person has cleaned."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core import errors
from ardaemon.host import cgroup, proc
from tests.integration.test_kill_matrix import MODES, quick
from tests.support.lab import DEADLINE_S, SLUG, Lab, wait_until
from tests.support.neighbour import Neighbour
from tests.support.promises import FULL
from tests.support.stuck import Stuck, stuck
from tests.support.survivors import forged

# A child that waits for an answer which never comes, in a session of its own.
HANG = (
    "import os, subprocess, time\n"
    "subprocess.Popen(['cat', {file!r}], start_new_session=True, env={{}}, close_fds=True)\n"
    "print('val/loss: 1', flush=True)\n"
    "time.sleep(60)\n"
)
# The limit of a moment counts from there, whatever the interpreter's start has taken.
BEGINS: dict[str, Any] = {"startup": 30, "ready_regex": "val/loss"}


@pytest.fixture
def hanging(lab: Lab) -> Iterator[Stuck]:
    """A filesystem whose callers cannot be killed."""
    with stuck(lab.root / "stuck") as made:
        yield made


def quarantined(lab: Lab) -> list[Path]:
    return list((lab.home / "quarantine").iterdir())


def gone(pid: int) -> None:
    wait_until(lambda: proc.start_time(pid) is None, "the end of the survivor")


@pytest.mark.parametrize("mode", MODES if FULL else ["cgroup"])
@pytest.mark.promise("unclean")
def test_a_survivor_keeps_its_slot_from_everybody_over_restarts_until_it_is_gone(
    lab: Lab, hanging: Stuck, mode: str
) -> None:
    quick(lab, mode, verify=0.3).ready(seconds=1, settle=0, **BEGINS)
    neighbour = Neighbour(lab)
    lab.write(HANG.format(file=str(hanging.file)))
    run_id = lab.submit()["run_id"]
    pid = hanging.caught()
    waiting = neighbour.submit()
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["verdict"], result["terminated_by"]) == ("unclean", "crash", "unclean")
    assert f"{pid} (cat)" in result["reason"]
    assert [p["pid"] for p in lab.read("UNCLEAN.json")["survivors"]] == [pid]

    for restart in (False, True):
        if restart:
            lab.kill()
            lab.start()
        assert [path.name for path in quarantined(lab)] == ["cpu0.json"]
        refused(lab, pid)
        waits(neighbour, waiting, pid)
    told(neighbour, waiting, pid)
    hanging.release()
    gone(pid)
    waits(neighbour, waiting, pid)  # a person has to say so
    said = lab.get("experiment.clean")["said"]
    assert ["lifted" in said[0], "cpu0" in said[1]] == [True, True]
    assert neighbour.ask("run.wait", run_id=waiting)["result"]["status"] == "ok"
    assert quarantined(lab) == []
    assert not (lab.folder / "UNCLEAN.json").exists()
    group = json.loads((lab.folder / f"runs/{run_id}/a1/start.json").read_bytes())["cgroup"]
    assert not group or not Path(group).exists()
    lab.session()
    assert lab.tried(1.0)["verdict"] == "advance"


def refused(lab: Lab, pid: int) -> None:
    """Nothing of this experiment goes on, and each answer names the process."""
    with pytest.raises(errors.Unclean, match=str(pid)):
        lab.submit()
    with pytest.raises(errors.Unclean, match=str(pid)):
        lab.session()
    with pytest.raises(errors.Unclean, match=str(pid)):
        lab.get("experiment.clean")


def waits(neighbour: Neighbour, run_id: str, pid: int) -> None:
    """The other project's run is not started, and everybody who asks is told why."""
    view = neighbour.ask("run.get", run_id=run_id)
    assert (view["state"], view["position"]) == ("queued", None)
    assert f"{pid} (cat)" in view["why"]


def told(neighbour: Neighbour, run_id: str, pid: int) -> None:
    """Every command says it."""
    for command in ("queue", "status --compact", "doctor"):
        said = neighbour.arctl(*command.split())[1]
        assert str(pid) in said, (command, said)
    code, said = neighbour.arctl("wait", run_id)
    assert (code, str(pid) in said) == (errors.Stuck.exit_code, True), said
    assert f"arctl clean --expr {SLUG}" in said


@pytest.mark.promise("unclean")
def test_the_slot_is_in_quarantine_before_the_run_is_committed(lab: Lab, hanging: Stuck) -> None:
    """kill -9 right before result.json gets its name: the next daemon starts nothing on that slot."""
    quick(lab, verify=0.3)
    lab.start(program="tests.support.faulty", FAULT_PLAN=json.dumps(result_json(lab)))
    lab.init()
    lab.session(seconds=1, settle=0, **BEGINS)
    neighbour = Neighbour(lab)
    lab.write(HANG.format(file=str(hanging.file)))
    run_id = lab.submit()["run_id"]
    pid = hanging.caught()
    waiting = neighbour.submit()
    assert lab.process is not None
    lab.process.wait(DEADLINE_S)
    assert (lab.root / "flag").exists()
    assert not (lab.folder / f"runs/{run_id}/result.json").exists()
    assert [path.name for path in quarantined(lab)] == ["cpu0.json"]
    lab.start()
    assert lab.wait(run_id)["result"]["status"] == "unclean"
    waits(neighbour, waiting, pid)
    hanging.release()
    gone(pid)
    lab.get("experiment.clean")
    assert neighbour.ask("run.wait", run_id=waiting)["result"]["status"] == "ok"


def result_json(lab: Lab) -> dict[str, object]:
    """A daemon that is killed before it renames the result into place."""
    run = f"~/p/.autoresearch/{SLUG}/runs/r0001"
    subject = f"{run}/.result.json.tmp -> {run}/result.json"
    return {
        "at": ["daemon", "rename", subject, 1],
        "root": str(lab.root),
        "do": "kill",
        "flag": str(lab.root / "flag"),
    }


DEAD = [{"pid": os.getpid(), "start": 1, "name": "an older one of that pid"}]


@pytest.mark.parametrize(
    ("facts", "away", "stays"),
    [
        ({}, False, True),
        ({"survivors": DEAD}, False, True),  # `arctl clean` has to lift the sentinel as well
        ({"boot_id": "00000000-0000-0000-0000-000000000000"}, False, False),
        ({}, True, True),
        ({"survivors": DEAD}, True, False),
    ],
)
@pytest.mark.promise("unclean")
def test_at_a_start_a_quarantine_without_ground_is_lifted(
    lab: Lab, facts: dict[str, object], away: bool, stays: bool
) -> None:
    lab.ready()
    lab.stop()
    path = forged(lab, **facts)
    if away:
        shutil.rmtree(lab.folder)
    lab.start()
    assert path.exists() == stays
    if not away:
        lab.edit(1.0)
        run_id = lab.submit()["run_id"]
        with pytest.raises(errors.Stuck) if stays else nullcontext():
            assert lab.wait(run_id)["state"] == "committed"


def test_a_quarantine_that_cannot_be_read_stands_and_says_which_file(lab: Lab) -> None:
    lab.ready()
    lab.stop()
    forged(lab).write_text("{")
    lab.start()
    with pytest.raises(errors.Stuck, match=r"quarantine/cpu0\.json cannot be read"):
        lab.wait(lab.submit()["run_id"])


def test_survivors_are_looked_for_in_their_cgroup_too(lab: Lab) -> None:
    """A child of a survivor that was forked after it was written down."""
    quick(lab).ready(seconds=20, settle=0)
    tree = cgroup.make(100)
    with subprocess.Popen(["/bin/sleep", "60"]) as late:
        try:
            (Path(tree.group) / "cgroup.procs").write_text(str(late.pid))
            forged(lab, survivors=DEAD, cgroup=tree.group)
            with pytest.raises(errors.Unclean, match=str(late.pid)):
                lab.get("experiment.clean")
        finally:
            late.kill()
            late.wait()
    assert "cpu0" in lab.get("experiment.clean")["said"][1]
    assert not Path(tree.group).exists()
    cgroup.remove(tree.pids)
