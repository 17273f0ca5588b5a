"""The kill matrix: every shape of tree, by the walk alone and by cgroup, ends with its run."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.reason import read
from ardaemon.host import cgroup
from tests.integration.test_watchdog import cwd_in
from tests.support.compiler import build
from tests.support.jobs import alive, expire, found, job_of, launched, shim_of
from tests.support.lab import Lab, wait_until
from tests.support.machine import configured
from tests.support.promises import times
from tests.support.shapes import BOMB, COMET, END, PRELUDE, SHAPES

MODES = ("walk", "cgroup")
Recorder = Callable[[str, object], None]
WOKEN_S = 20.0  # a stopped shim is looked at some 5 s after its limit, on a machine that does nothing else


def quick(lab: Lab, mode: str = "cgroup", **settings: object) -> Lab:
    """A daemon with short times, whose jobs have a cgroup or not."""
    if mode == "cgroup":
        require_cgroup()
    lines = {"grace": 0.1, "cgroup": "auto" if mode == "cgroup" else "off", **settings}
    configured(lab, "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items()))
    return lab


def require_cgroup() -> None:
    """A cgroup v2 in which this user may make others, with cgroup.kill (Linux 5.14)."""
    if not made().group:
        pytest.skip("no writable cgroup v2 with cgroup.kill")


def made() -> cgroup.JobGroup:
    """What cgroups there could be; removed again."""
    tree = cgroup.make(1000)
    cgroup.remove(tree.group)
    cgroup.remove(tree.pids)
    return tree


def ended(lab: Lab, run_id: str, mode: str) -> dict[str, object]:
    """The shim's record of a run of which nothing is left."""
    folder = lab.folder / f"runs/{run_id}/a1"
    record: dict[str, object] = json.loads((folder / "exit.json").read_bytes())
    assert (record["tree"], record["survivors"]) == (mode, [])
    assert cwd_in(lab.project) == []
    group = json.loads((folder / "start.json").read_bytes())["cgroup"]
    assert bool(group) == (mode == "cgroup")
    if group:
        removed(group)
    return record


def removed(group: str) -> None:
    """Wait for the removal of a cgroup: no verdict waits for it."""
    wait_until(lambda: not Path(group).exists(), "the removal of its cgroup")


@pytest.mark.timeout(600)  # 50 times, on a machine that does other things too
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.promise("kill-matrix")
def test_at_its_limit_nothing_of_the_tree_survives(
    lab: Lab, shape: str, mode: str, record_property: Recorder
) -> None:
    quick(lab, mode).ready(seconds=0.05, startup=20, settle=0)
    tries = times(50, 1)
    for _ in tries:
        lab.write(PRELUDE + SHAPES[shape] + END)
        result = lab.run()
        assert (result["status"], result["reason"]) == ("timeout", "limit"), result
        assert result["primary"]["value"] == 1, "the tree was there before it was killed"
        assert ended(lab, result["run_id"], mode)["ready_after"] is not None
    record_property("cases", len(tries))


@pytest.mark.timeout(600)  # 50 times, on a machine that does other things too
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.promise("kill-matrix")
def test_generations_faster_than_any_walk_are_caught(lab: Lab, mode: str, record_property: Recorder) -> None:
    program = lab.root / "comet"
    build("-O1", "-o", program, "-x", "c", "-", source=COMET)  # an interpreter does not fork fast enough
    quick(lab, mode).ready(seconds=0.05, startup=20, settle=0)
    tries = times(50, 2)
    for _ in tries:
        lab.write(PRELUDE + f"import subprocess\nsubprocess.run([{str(program)!r}])\nready(0)\n" + END)
        result = lab.run()
        assert (result["status"], result["reason"]) == ("timeout", "limit"), result
        ended(lab, result["run_id"], mode)
    record_property("cases", len(tries))


def kill(pid: int) -> None:
    """SIGKILL, and it is gone."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), "its end")


@pytest.mark.parametrize("also_the_daemon", [False, True])
@pytest.mark.promise("adopted-tree")
def test_a_tree_without_its_shim_is_found_and_ended_by_its_cgroup(lab: Lab, also_the_daemon: bool) -> None:
    """What is left of the job has no environment, no descriptor and no parent of the run."""
    quick(lab).ready(seconds=60, settle=0)
    run_id = launched(lab, PRELUDE + SHAPES["nothing of the run about it"] + END)
    log = lab.folder / f"runs/{run_id}/a1/run.log"
    wait_until(log.read_bytes, "the tree")
    job, shim = job_of(lab, run_id), shim_of(lab, run_id)
    group = json.loads((lab.folder / f"runs/{run_id}/a1/start.json").read_bytes())["cgroup"]
    if also_the_daemon:
        lab.kill()
    for pid in (shim, job):
        kill(pid)
    if also_the_daemon:
        lab.start()
    left = cwd_in(lab.project)
    assert len(left) == 1
    assert Path(f"/proc/{left[0]}/environ").read_bytes() == b""
    found(lab, run_id)
    expire(lab, run_id)
    assert lab.wait(run_id)["result"]["reason"] == "supervisor_lost"
    assert cwd_in(lab.project) == []
    removed(group)


def test_who_is_in_the_cgroup_ends_with_the_run_whoever_its_parent_is(lab: Lab) -> None:
    """No walk from the shim comes to a process that another one started."""
    quick(lab).ready(seconds=0.5, startup=20, settle=0)
    marked = f"until(lambda: os.path.exists({str(lab.root / 'in')!r}))\nready(0)\n"
    run_id = launched(lab, PRELUDE + marked + END)
    group = Path(json.loads((lab.folder / f"runs/{run_id}/a1/start.json").read_bytes())["cgroup"])
    with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as other:
        (group / "cgroup.procs").write_text(str(other.pid))
        (lab.root / "in").touch()
        assert other.wait(20) == -signal.SIGKILL
    assert lab.wait(run_id)["result"]["status"] == "timeout"
    ended(lab, run_id, "cgroup")


def test_a_forged_cgroup_is_never_killed(lab: Lab) -> None:
    """start.json lies where the job may write: a cgroup that cannot be an attempt's is passed over."""
    quick(lab).ready(seconds=20, settle=0)
    other = Path(made().group).parent / f"of-somebody-else-{os.getpid()}"
    other.mkdir()
    with subprocess.Popen(["/bin/sleep", "60"]) as bystander:
        try:
            (other / "cgroup.procs").write_text(str(bystander.pid))
            run_id = launched(lab, PRELUDE + "ready(0)\n" + END)
            start = lab.folder / f"runs/{run_id}/a1/start.json"
            job = job_of(lab, run_id)
            start.write_text(json.dumps(json.loads(start.read_bytes()) | {"cgroup": str(other)}))
            os.kill(shim_of(lab, run_id), signal.SIGKILL)
            lab.get("run.cancel", run_id=run_id)
            assert lab.wait(run_id)["result"]["status"] in ("crash", "interrupted")
            assert not alive(job)
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait()
            other.rmdir()


def test_leftover_cgroups_of_a_killed_daemon_are_removed_by_the_next(lab: Lab) -> None:
    quick(lab).ready(seconds=20, settle=0)
    run_id = launched(lab, PRELUDE + "ready(0)\n" + END)
    facts = json.loads((lab.folder / f"runs/{run_id}/a1/start.json").read_bytes())
    shim, job = shim_of(lab, run_id), job_of(lab, run_id)
    made_before = [Path(facts[name]) for name in ("cgroup", "pids_cgroup") if facts[name]]
    # Now: once their daemon is dead, one that another test starts at the same time may remove them.
    assert all(folder.exists() for folder in made_before)
    lab.kill()
    for pid in (shim, job):
        kill(pid)
    (lab.folder / f"runs/{run_id}/a1/start.json").unlink()  # so that only the sweep can know of them
    for folder in made_before:
        os.utime(folder, (0, 0))  # a shim may be about to enter one that was made just now
    lab.start()
    assert not any(folder.exists() for folder in made_before)


@pytest.mark.promise("pids-limit")
def test_a_fork_bomb_is_bounded_and_ends_by_its_limit_and_others_go_on(
    lab: Lab, record_property: Recorder
) -> None:
    limit = 40
    if not made().pids:
        pytest.skip("no writable pids controller, of cgroup v2 or v1")
    quick(lab, pids_max=limit).ready(seconds=1.0, startup=20, settle=0)
    tries = times(5, 1)
    for number in tries:
        go = lab.root / f"go{number}"
        run_id = launched(lab, PRELUDE + f"go = {str(go)!r}\n" + BOMB + END)
        lab.edit(0.5)
        other = lab.submit()["run_id"]
        wait_until(lambda: len(cwd_in(lab.project)) > limit // 2, "the bomb to go off")
        go.touch()
        counts = watched(lab, run_id)
        assert max(counts) <= limit, counts
        result = lab.wait(run_id)["result"]
        assert (result["status"], read(result["reason"]).token) == ("timeout", "limit")
        assert "pids_max" in result["reason"]
        assert lab.wait(other)["result"]["status"] == "ok"
        ended(lab, run_id, "cgroup")
    record_property("cases", len(tries))


def watched(lab: Lab, run_id: str) -> list[int]:
    """How many processes there were in the project, looked at until its record is there."""
    folder, counts = lab.folder / f"runs/{run_id}/a1", [0]

    def over() -> bool:
        counts.append(len(cwd_in(lab.project)))
        assert lab.get("run.get", run_id=run_id)["run_id"] == run_id  # the daemon answers meanwhile
        return (folder / "exit.json").exists()

    wait_until(over, "the bomb's end")
    return counts


@pytest.mark.promise("stopped-shim")
@pytest.mark.parametrize("how", ["at its limit", "on request", "after a restart"])
def test_a_stopped_shim_is_woken_and_ends_its_job(lab: Lab, how: str) -> None:
    quick(lab, verify=0.5).ready(seconds=60 if how == "on request" else 1.0, settle=0)
    run_id = launched(lab, PRELUDE + "ready(0)\n" + END)
    job, shim = job_of(lab, run_id), shim_of(lab, run_id)
    with suppress(ProcessLookupError):  # on a machine so slow that its limit came before
        os.kill(shim, signal.SIGSTOP)
    try:
        if how == "on request":
            lab.get("run.cancel", run_id=run_id)
        if how == "after a restart":
            lab.kill()
            lab.start()
        result: dict[str, Any] | None = lab.wait(run_id, timeout=WOKEN_S)["result"]
    finally:
        if alive(shim):
            os.kill(shim, signal.SIGKILL)  # it would never end, and bears no mark of this lab
    assert result is not None, "nobody woke it"
    assert result["status"] == ("interrupted" if how == "on request" else "timeout")
    assert not alive(job)
    assert result["seconds"] < WOKEN_S
