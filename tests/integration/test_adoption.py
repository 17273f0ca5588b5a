"""A restarted daemon goes on with what runs; without its shim a run is adopted; no foreigner is touched."""

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.model import Process
from ardaemon.host import proc, processes
from tests.support.foreign import Foreign, may_choose_pids
from tests.support.jobs import alive, expire, found, job_of, launched, shim_of
from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.machine import configured
from tests.support.promises import some, times
from tests.support.run_json import OTHER_BOOT, of_another_boot
from tests.support.shell import Shell

# Says what it is, then waits for the files go-1, go-2, … of the project, and prints a value after each.
STEPS = """import os, pathlib, sys, time
here = pathlib.Path(os.environ["AR_EXPR_DIR"]).parent.parent
with open(here / "launches", "a") as file:
    file.write(os.environ["AR_RUN_ID"] + chr(10))
print("val/loss: {first}", flush=True)
for step, value in enumerate({values}, 1):
    while not (here / f"go-{{step}}").exists():
        time.sleep(0.01)
    print("val/loss:", value, flush=True)
{end}
"""
# A tree as frameworks make them: a child in the group, one in its own session, one whose parent has ended.
TREE = """import os, pathlib, signal, sys, time
here = pathlib.Path(os.environ["AR_EXPR_DIR"]).parent.parent
def note(name):
    with open(here / name, "a") as file:
        file.write(f"{{os.getpid()}}\\n")
def stay(name):
    signal.signal(signal.SIGTERM, {on_term})
    note(name)
    while True:
        time.sleep(60)
for kind in ("child", "session", "orphan"):
    if os.fork() == 0:
        if kind != "child":
            os.setsid()
        if kind == "orphan" and os.fork():
            os._exit(0)
        stay("tree")
stay("tree")
"""
POLITE = "lambda *_: (note('terminated'), os._exit(0))"
DEAF = "signal.SIG_IGN"
SLEEP = "import time\nprint('val/loss: 1', flush=True)\ntime.sleep(60)\n"


KILLS = [
    (order, moment)
    for moment in ("just launched", "restarted before", "adopted before")
    for order in ("daemon first", "shim first")
]


def steps(first: float = 1.0, values: tuple[float, ...] = (), end: str = "") -> str:
    return STEPS.format(first=first, values=values, end=end)


def go(lab: Lab, step: int) -> None:
    (lab.project / f"go-{step}").touch()


def configure(lab: Lab, grace: float, more: str = "") -> None:
    """The daemon's own settings, before it starts."""
    configured(lab, f"grace = {grace}\nverify = 5.0\n{more}\n")


def tree(lab: Lab) -> list[int]:
    """The pids of TREE, once all four are there."""
    path = lab.project / "tree"
    wait_until(lambda: path.exists() and path.read_text().count("\n") == 4, "the whole tree")
    return [int(pid) for pid in path.read_text().split()]


def kill_shim(lab: Lab, run_id: str) -> None:
    """It is gone afterwards: a group that is orphaned with a stopped member gets SIGHUP (setpgid(2))."""
    shim = shim_of(lab, run_id)
    os.kill(shim, signal.SIGKILL)
    wait_until(lambda: not alive(shim), "the shim's end")


def launches(lab: Lab) -> list[str]:
    return (lab.project / "launches").read_text().split()


def result_of(lab: Lab, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] | None = lab.wait(run_id, timeout=DEADLINE_S)["result"]
    assert found is not None, f"{run_id} has no verdict"
    return found


# --- a restarted daemon ---


@pytest.mark.promise("adoption")
def test_the_limit_counts_from_the_first_start_through_several_daemons(lab: Lab) -> None:
    lab.ready(seconds=3)
    run_id = launched(lab, SLEEP)

    def elapsed() -> float:
        return float(lab.get("run.get", run_id=run_id)["elapsed"] or math.inf)

    for _ in range(3):
        lab.kill()
        lab.start()
    wait_until(lambda: elapsed() > 2.5, "most of its time to be over")
    lab.kill()
    lab.start()
    result = result_of(lab, run_id)
    assert result["status"] == "timeout"
    assert 3 <= result["seconds"] < 2.5 + 3, "it began anew with a daemon"


@pytest.mark.promise("adoption")
def test_live_value_elapsed_time_and_events_go_on_after_a_restart(lab: Lab) -> None:
    lab.ready()
    run_id = launched(lab, steps(0.9, (0.8, 0.7)))
    wait_until(lambda: lab.get("run.get", run_id=run_id)["latest"] == 0.9, "the live value")
    before = lab.get("run.get", run_id=run_id)
    lab.kill()
    go(lab, 1)
    lab.start()
    client = lab.rpc()
    client.send_raw(b'{"jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": {}}\n')
    after = wait_until(
        lambda: (view := lab.get("run.get", run_id=run_id))["latest"] == 0.8 and view, "the live value again"
    )
    assert after["elapsed"] > before["elapsed"] > 0
    assert after["pid"] == before["pid"] == job_of(lab, run_id)
    go(lab, 2)
    seen: list[str] = []
    while not seen or seen[-1] != "committed":
        seen.append(client.receive()["params"]["event"])
    assert seen == ["ended", "committed"]
    assert result_of(lab, run_id)["primary"]["value"] == 0.7


@pytest.mark.promise("adoption")
@pytest.mark.parametrize(
    ("end", "code", "name"),
    [
        ("", 0, None),
        ("raise SystemExit(7)", 7, None),
        *(
            (f"import signal; os.kill(os.getpid(), signal.{name})", None, name)
            for name in ("SIGSEGV", "SIGKILL", "SIGTERM")
        ),
    ],
)
def test_what_ended_while_no_daemon_lived_has_its_exact_end_and_duration(
    lab: Lab, end: str, code: int | None, name: str | None
) -> None:
    lab.ready()
    before = time.monotonic()
    run_id = launched(lab, steps(1.0, (0.5,), end))
    runs = time.monotonic()
    lab.kill()
    least = time.monotonic() - runs
    go(lab, 1)
    wait_until((lab.folder / f"runs/{run_id}/a1/exit.json").exists, "the shim's record")
    most = time.monotonic() - before
    facts = lab.read(f"runs/{run_id}/a1/exit.json")
    lab.start()
    result = result_of(lab, run_id)
    assert (result["exit_code"], result["signal"]) == (code, name)
    assert result["status"] == ("ok" if code == 0 else "crash")
    assert least <= result["seconds"] == facts["seconds"] <= most
    assert launches(lab) == [run_id]


@pytest.mark.promise("adoption")
def test_who_waits_for_a_run_gets_its_verdict_once_over_a_kill_and_a_restart(lab: Lab) -> None:
    lab.ready()
    lab.write(steps(1.0, (0.5,)))
    shell = Shell(lab)
    waiting = shell.waiting("run", "--wait")
    lab.kill()  # the client starts the next one
    wait_until(lambda: shell.states() == ["running"], "the run to be found again")
    go(lab, 1)
    code, out, _ = shell.end(waiting)
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()] == ["launched:", "metric", "advance:", "continue:"]
    assert launches(lab) == ["r0001"]


# --- without a shim ---


@pytest.mark.promise("supervisor-lost")
def test_the_slot_is_held_until_the_last_of_an_adopted_tree_has_ended(lab: Lab) -> None:
    lab.ready()
    run_id = launched(lab, TREE.format(on_term=DEAF))
    pids = tree(lab)
    kill_shim(lab, run_id)
    lab.edit(0.5)
    second = lab.submit()["run_id"]
    for number, pid in enumerate(pids, 1):
        assert lab.get("run.get", run_id=second)["state"] == "queued", f"{number} of {len(pids)} had ended"
        os.kill(pid, signal.SIGKILL)
    result = result_of(lab, run_id)
    assert (result["status"], result["reason"], result["exit_code"]) == ("crash", "supervisor_lost", None)
    assert result_of(lab, second)["verdict"] == "advance"


@pytest.mark.promise("supervisor-lost")
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("why", ["cancel", "deadline"])
def test_an_adopted_tree_is_asked_to_end_before_it_is_killed(lab: Lab, why: str, restarted: bool) -> None:
    configure(lab, grace=20)
    lab.ready(seconds=60)
    run_id = launched(lab, TREE.format(on_term=POLITE))
    pids = tree(lab)
    kill_shim(lab, run_id)
    if restarted:
        lab.kill()
        lab.start()
    if why == "cancel":
        lab.get("run.cancel", run_id=run_id)
    else:
        expire(lab, run_id)
    result = result_of(lab, run_id)
    assert sorted((lab.project / "terminated").read_text().split()) == sorted(map(str, pids))
    assert result["status"] == ("interrupted" if why == "cancel" else "crash")
    assert not any(map(alive, pids))


@pytest.mark.promise("supervisor-lost")
@pytest.mark.parametrize("why", ["cancel", "deadline"])
def test_an_adopted_tree_that_is_deaf_is_killed_whole_after_the_grace(lab: Lab, why: str) -> None:
    configure(lab, grace=1)
    lab.ready(seconds=60)
    run_id = launched(lab, TREE.format(on_term=DEAF))
    pids = tree(lab)
    kill_shim(lab, run_id)
    os.kill(pids[0], signal.SIGSTOP)
    begun = time.monotonic()
    if why == "cancel":
        lab.get("run.cancel", run_id=run_id)
        assert all(map(alive, pids)) or time.monotonic() - begun >= 1, "killed without a grace"
    else:
        expire(lab, run_id)
    assert result_of(lab, run_id)["signal"] is None
    assert time.monotonic() - begun >= 1
    assert not any(map(alive, pids))


# Leaves everything behind by which it could be found, but for the lock that it inherited.
HIDDEN = """import os, sys, time
lock = next(fd for fd in range(3, 64) if os.path.exists(f"/proc/self/fd/{fd}")
            and os.readlink(f"/proc/self/fd/{fd}").endswith("job.lock"))
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", "60"], {})
    os._exit(0)
print("val/loss: 1", flush=True)
"""


@pytest.mark.promise("supervisor-lost")
def test_what_hid_from_its_environment_and_its_tree_is_found_by_the_lock_it_holds(lab: Lab) -> None:
    configure(lab, grace=1, more='cgroup = "off"')  # which would find it too
    lab.ready(settle=50)
    run_id = launched(lab, HIDDEN)
    job, shim = job_of(lab, run_id), shim_of(lab, run_id)
    wait_until(lambda: not alive(job), "the first process's end")
    children = Path(f"/proc/{shim}/task/{shim}/children")

    def sleepers() -> list[str]:
        return [pid for pid in children.read_text().split() if proc.name(int(pid)) == "sleep"]

    (hidden,) = wait_until(sleepers, "the hidden one, in its new program")
    lab.kill()
    os.kill(shim, signal.SIGKILL)
    lab.start()
    found(lab, run_id)
    lab.get("run.cancel", run_id=run_id)
    assert result_of(lab, run_id)["status"] == "interrupted"
    assert not alive(int(hidden))


@pytest.mark.promise("supervisor-lost")
@pytest.mark.parametrize("again", times(4, 1))
@pytest.mark.parametrize(("order", "moment"), some(KILLS, 3))
def test_shim_and_daemon_killed_leave_one_copy(lab: Lab, order: str, moment: str, again: int) -> None:
    lab.ready()
    run_id = launched(lab, steps(1.0, (0.5,)))
    job = job_of(lab, run_id)
    if moment == "restarted before":
        lab.kill()
        lab.start()
    if order == "daemon first":
        lab.kill()
        kill_shim(lab, run_id)
    else:
        kill_shim(lab, run_id)
        lab.kill()
    if moment == "adopted before":
        lab.start()
        lab.kill()
    lab.start()
    assert alive(job)
    found(lab, run_id)
    go(lab, 1)
    assert result_of(lab, run_id)["reason"] == "supervisor_lost"
    assert launches(lab) == [run_id]


@pytest.mark.promise("supervisor-lost")
@pytest.mark.parametrize("daemon_too", [False, True])
@pytest.mark.parametrize(
    ("where", "copies"),
    [("spawn", 0), ("acknowledge", 1)],  # between start.json and the job; between the job and its word
)
def test_a_shim_killed_in_the_middle_of_its_start_leaves_one_copy_at_most(
    lab: Lab, where: str, copies: int, daemon_too: bool
) -> None:
    lab.start("tests.support.faulty_shim", SHIM_DIES=where)
    lab.init()
    lab.session()
    lab.write(steps(1.0, (0.5,)))
    run_id = lab.submit()["run_id"]
    wait_until((lab.folder / f"runs/{run_id}/a1/start.json").exists, "the shim's first word")
    if copies:
        wait_until(lambda: (lab.project / "launches").exists(), "the job, without its shim")
    if daemon_too:
        lab.kill()
        lab.start()
    if copies:
        wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "running", "its adoption")
    go(lab, 1)
    result = result_of(lab, run_id)
    assert (result["status"], result["reason"]) == ("crash", "supervisor_lost")
    assert (launches(lab) if copies else []) == [run_id] * copies


# --- another boot ---


@pytest.mark.promise("host-restart")
def test_a_run_lost_to_a_reboot_counts_for_no_plateau_and_the_next_one_goes_on(lab: Lab) -> None:
    lab.ready(plateau=3)
    assert lab.tried(1.0)["verdict"] == "advance"
    assert lab.tried(2.0)["plateau"] == "1/3"
    run_id = launched(lab, SLEEP)
    second = lab.submit()["run_id"]
    pids = [shim_of(lab, run_id), job_of(lab, run_id)]
    lab.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, pids)), "the end of both")
    start = lab.read(f"runs/{run_id}/a1/start.json")
    forge(lab, run_id, {**start, "boot_id": OTHER_BOOT}, OTHER_BOOT)
    lab.start()
    result = result_of(lab, run_id)
    assert (result["status"], result["reason"], result["plateau"]) == ("crash", "host_restart", "1/3")
    lab.get("run.cancel", run_id=second)
    assert lab.tried(3.0)["plateau"] == "2/3"


# --- a pid that is somebody else's by now ---


@pytest.fixture
def foreigners(tmp_path: Path) -> Iterator[list[Foreign]]:
    """Foreign processes of this test; at its end each must be untouched."""
    found: list[Foreign] = []
    yield found
    touched = [one.record.read_bytes() for one in found if not one.untouched()]
    for one in found:
        one.end()
    assert touched == []


def lost(lab: Lab) -> tuple[str, dict[str, Any]]:
    """A run whose daemon, shim and job are gone, and its start.json."""
    run_id = launched(lab, SLEEP)
    pids = [shim_of(lab, run_id), job_of(lab, run_id)]
    lab.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, pids)), "the end of both")
    return run_id, lab.read(f"runs/{run_id}/a1/start.json")


def forge(lab: Lab, run_id: str, facts: dict[str, Any], boot: str | None = None) -> None:
    """Write start.json, and the boot's id into the handle as well."""
    (lab.folder / f"runs/{run_id}/a1/start.json").write_text(json.dumps(facts))
    if boot is not None:
        of_another_boot(lab, run_id, boot)


@pytest.mark.promise("pid-reuse")
@pytest.mark.parametrize(
    ("which", "reason"),
    [("start time", "supervisor_lost"), ("boot", "host_restart"), ("boot of the handle", "host_restart")],
)
def test_a_record_that_names_a_foreign_process_gets_it_no_signal(
    lab: Lab, tmp_path: Path, foreigners: list[Foreign], which: str, reason: str
) -> None:
    lab.ready()
    run_id, facts = lost(lab)
    shim, job = Foreign(tmp_path, "shim"), Foreign(tmp_path, "job")
    foreigners += [shim, job]
    if which == "start time":
        forged = {**facts, "shim": [shim.pid, shim.start + 1], "job": [job.pid, job.start - 1]}
        forge(lab, run_id, forged)
    else:
        forged = {**facts, "shim": [shim.pid, shim.start], "job": [job.pid, job.start]}
        if which == "boot":
            forged["boot_id"] = OTHER_BOOT
        forge(lab, run_id, forged, OTHER_BOOT)
    lab.start()
    lab.get("run.cancel", run_id=run_id)
    result = result_of(lab, run_id)
    assert (result["status"], result["reason"]) in [("crash", reason), ("interrupted", None)]
    assert lab.tried(0.5)["verdict"] == "advance"


@pytest.mark.promise("pid-reuse")
def test_a_sentinel_that_names_a_foreign_process_is_lifted_or_refused_and_never_acted_on(
    lab: Lab, tmp_path: Path, foreigners: list[Foreign]
) -> None:
    lab.ready()
    lab.tried(1.0)
    foreign = Foreign(tmp_path, "survivor")
    foreigners.append(foreign)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    for start, where, lifted in (
        (foreign.start + 1, boot, True),
        (foreign.start, "00000000-0000-0000-0000-000000000000", True),
        (foreign.start, boot, False),
    ):
        survivor = {"pid": foreign.pid, "start": start, "name": "python"}
        sentinel = {"schema": 1, "run_id": "r0001", "survivors": [survivor], "boot_id": where, "at": ""}
        (lab.folder / "UNCLEAN.json").write_text(json.dumps(sentinel))
        shell = Shell(lab)
        shell("run", code=65)
        shell("clean", code=0 if lifted else 65)
        assert (lab.folder / "UNCLEAN.json").exists() != lifted


@pytest.mark.promise("pid-reuse")
@pytest.mark.parametrize("again", times(10, 1))
@pytest.mark.parametrize("daemon", ["dead meanwhile", "alive, and stopped meanwhile"])
def test_a_pid_that_was_really_used_again_is_left_alone(
    lab: Lab, tmp_path: Path, foreigners: list[Foreign], daemon: str, again: int
) -> None:
    if not may_choose_pids():
        pytest.skip("only root can give a process a pid of its choice (clone3, set_tid)")
    lab.ready(seconds=3)
    run_id = launched(lab, SLEEP)
    shim, job = shim_of(lab, run_id), job_of(lab, run_id)
    if daemon == "dead meanwhile":
        lab.kill()
    else:
        os.kill(lab.pid, signal.SIGSTOP)
    for pid in (shim, job):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(shim) and not alive(job), "the end of both")
    wait_free(job)  # first: its session is the shim's, and bears that number for as long as it is there
    if daemon == "dead meanwhile":
        foreigners.append(Foreign(tmp_path, "shim", wait_free(shim)))
    foreigners.append(Foreign(tmp_path, "job", job))  # a living daemon has yet to reap its shim
    if daemon == "dead meanwhile":
        lab.start()
    else:
        os.kill(lab.pid, signal.SIGCONT)
    lab.get("run.cancel", run_id=run_id)
    assert result_of(lab, run_id)["status"] in ("interrupted", "crash")  # the cancel may come too late
    assert lab.tried(0.5)["verdict"] == "advance"


@pytest.mark.promise("pid-reuse")
def test_a_signal_goes_to_the_process_of_that_start_time_alone(
    tmp_path: Path, foreigners: list[Foreign]
) -> None:
    foreigners.append(Foreign(tmp_path, "other"))
    pid, start = foreigners[0].pid, foreigners[0].start
    assert not proc.send(pid, start + 1, signal.SIGTERM)
    processes.kill([Process(pid, start - 1), Process(pid, 0)], signal.SIGKILL)
    assert processes.living([Process(pid, start - 1), Process(pid, start)]) == [Process(pid, start)]


def wait_free(pid: int) -> int:
    """Wait until init has reaped it: its number is free then."""
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), f"{pid} to be reaped")
    return pid


# --- a run whose project is away ---


AWAY = "waits for one of 1 CPU slots: a project that is away/r0001"


@pytest.mark.promise("adoption")
def test_a_job_whose_project_is_away_at_the_start_still_holds_its_slot(lab: Lab) -> None:
    lab.ready()
    run_id = launched(lab, steps(1.0, (0.5,)))
    job = job_of(lab, run_id)
    wait_until((lab.folder / f"runs/{run_id}/a1/run.log").read_bytes, "the script's first words")
    lab.kill()
    home, away = lab.project, lab.root / "away"
    home.rename(away)
    lab.start()
    lab.project = lab.root / "another"
    lab.project.mkdir()
    seen = f"import os\nprint('val/loss:', int(os.path.exists('/proc/{job}')))\n"
    lab.init(seen)
    lab.session()
    other = lab.submit()["run_id"]
    view = lab.get("run.get", run_id=other)
    assert (view["state"], view["why"]) == ("queued", AWAY)
    assert "waits for its record" in " ".join(lab.call("queue.list")["warnings"])
    assert lab.get("run.get", run_id=other)["state"] == "queued"
    (away / "go-1").touch()
    away.rename(home)
    result = result_of(lab, other)
    assert result["primary"]["value"] == 0, "it ran beside the job of the project that was away"
    lab.project = home
    wait_until(lambda: (lab.folder / f"runs/{run_id}/result.json").exists(), "the verdict on what came back")
    assert launches(lab) == [run_id]
