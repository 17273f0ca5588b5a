"""The whole tree ends with its run, whatever it did to get away."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core import errors
from ardaemon.engines.local.spare import Spare
from ardaemon.shim import handover
from tests.support.jobs import alive, launched
from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.machine import configured
from tests.support.shapes import END, PRELUDE, SHAPES

SPAWN = (
    "import os, signal, subprocess, sys, time\n"
    "SLEEP = [sys.executable, '-c', 'import time; time.sleep(300)']\n"
)
READY = "print('val/loss: 1', flush=True)\n"


@pytest.fixture
def quick(lab: Lab) -> Lab:
    """A daemon whose grace is short."""
    configured(lab, "grace = 0.5\n")
    return lab


def cwd_in(folder: Path) -> list[int]:
    """Processes that work in the project: they show even without an environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("shape", ["a double fork", "respawning", "nothing of the run about it"])
def test_after_its_end_what_a_script_left_behind_is_ended(quick: Lab, shape: str) -> None:
    quick.ready(seconds=20, settle=0.2)
    quick.write(PRELUDE + SHAPES[shape])
    result = quick.run()
    assert (result["status"], result["verdict"], result["exit_code"]) == ("ok", "advance", 0)
    assert cwd_in(quick.project) == []


def test_a_helper_that_finishes_in_the_settle_time_is_let_finish(lab: Lab) -> None:
    lab.ready(settle=10)
    lab.write(
        SPAWN
        + 'code = \'import time; time.sleep(.6); open("uploaded", "w").write("all")\'\n'
        + "subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
        + READY
    )
    assert lab.run()["verdict"] == "advance"
    assert (lab.project / "uploaded").read_text() == "all"


def test_the_exit_record_has_code_duration_and_usage(lab: Lab) -> None:
    lab.ready()
    lab.write(
        "import time\nx = bytearray(60 << 20)\nend = time.process_time() + .3\n"
        "while time.process_time() < end: pass\n" + READY
    )
    lab.run()
    record = json.loads((lab.folder / "runs/r0001/a1/exit.json").read_bytes())
    assert (record["ending"], record["exit_code"], record["signal"]) == ("exited", 0, None)
    assert 0.3 < record["user_s"] + record["system_s"] < 5
    assert record["max_rss_kb"] > 60 << 10
    assert record["seconds"] >= 0.3


def test_a_ready_file_starts_the_clock(lab: Lab) -> None:
    lab.ready(seconds=1, startup=30)
    lab.write(
        "import os, pathlib, time\ntime.sleep(1.2)\npathlib.Path(os.environ['AR_RUN_DIR'], 'ready').touch()\n"
        + READY
        + "time.sleep(60)\n"
    )
    result = lab.run()
    assert result["status"] == "timeout"
    assert 2.1 < result["seconds"] < 30, "the limit counts from the file on"


def test_a_program_that_cannot_be_executed_is_a_crash_with_its_reason(lab: Lab) -> None:
    tool = lab.project / "tool"
    tool.write_bytes(b"\x7fELF no program at all")
    tool.chmod(0o755)
    lab.start()
    lab.init()
    lab.session(runner="./tool train.py")
    result = lab.run()
    assert (result["status"], result["verdict"]) == ("crash", "crash")
    assert result["reason"].startswith("spawn_failed")


def test_survivors_of_a_kill_stop_the_experiment_until_they_are_gone(lab: Lab) -> None:
    """With no time to verify, every killed process counts as a survivor: what SIGKILL cannot end is rare."""
    configured(lab, "grace = 0.2\nverify = 0.0\n")
    lab.ready(seconds=0.8, startup=30)
    lab.write(PRELUDE + SHAPES["TERM ignored"] + END)
    result = lab.run()
    assert (result["status"], result["verdict"], result["terminated_by"]) == ("unclean", "crash", "unclean")
    survivors = lab.read("UNCLEAN.json")["survivors"]
    survivor = survivors[0]
    assert str(survivor["pid"]) in result["reason"]
    with pytest.raises(errors.Unclean, match=str(survivor["pid"])):
        lab.submit()
    wait_until(lambda: not any(alive(one["pid"]) for one in survivors), "the end of what was killed")
    assert "lifted" in lab.get("experiment.clean")["said"][0]
    lab.session()
    assert lab.tried(1.0)["verdict"] == "advance"


def test_a_sentinel_is_not_lifted_while_its_survivor_lives(lab: Lab) -> None:
    lab.ready()
    start = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    sentinel = {
        "schema": 1,
        "run_id": "r0001",
        "survivors": [{"pid": os.getpid(), "start": int(start), "name": "this test"}],
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "at": "2026-11-22T10:00:00Z",
    }
    (lab.folder / "UNCLEAN.json").write_text(json.dumps(sentinel))
    lab.get("session.stop")
    with pytest.raises(errors.Unclean, match=str(os.getpid())):
        lab.get("experiment.clean")
    with pytest.raises(errors.Unclean, match=str(os.getpid())):
        lab.session()


def clock_of(lab: Lab) -> float | None:
    """After how many seconds the first run was ready, as its shim saw it."""
    found: float | None = lab.read("runs/r0001/a1/exit.json")["ready_after"]
    return found


@pytest.mark.parametrize("pattern", [r"\u2713 ready", "(?u)✓ ready", r"✓ r\w+y$"])
def test_a_ready_pattern_means_in_the_shim_what_it_meant_when_it_was_checked(lab: Lab, pattern: str) -> None:
    lab.ready(seconds=0.3, startup=50, ready_regex=pattern)
    lab.write(
        "import sys, time\n"
        "sys.stdout.reconfigure(encoding='utf-8')\n"
        "print('✓ ready', flush=True)\ntime.sleep(60)\n"
    )
    result = lab.run()
    assert (result["status"], result["reason"]) == ("timeout", "limit")
    assert clock_of(lab) is not None
    assert result["seconds"] < 50, "the limit counts from that line on"


def test_a_ready_pattern_without_end_disables_neither_the_limit_nor_the_startup(quick: Lab) -> None:
    quick.ready(seconds=1, startup=1, ready_regex=r"^(\w+ ?)*ready$")
    quick.write("print('a' * 64 + '!', flush=True)\nimport time\n" + READY + "time.sleep(60)\n")
    result = quick.run()
    assert (result["status"], result["reason"]) == ("timeout", "limit")
    assert result["seconds"] < 50
    assert clock_of(quick) is None
    assert "--ready-regex" in quick.read("runs/r0001/a1/exit.json")["error"]


def test_at_its_limit_who_left_the_group_is_asked_to_end_as_well(lab: Lab) -> None:
    """TERM once for every process, so that each can save what it has; KILL is for those who stay."""
    lab.ready(seconds=0.5, startup=30, ready_regex="val/loss", settle=0)
    child = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        "    with open(sys.argv[1], 'a') as f: f.write('TERM\\n')\n"
        "    time.sleep(.3)\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(300)\n"
    )
    lab.write(
        SPAWN
        + f"child = [sys.executable, '-c', {child!r}]\n"
        + "subprocess.Popen([*child, 'inside'])\n"
        + "subprocess.Popen([*child, 'outside'], start_new_session=True)\n"
        + "while not (os.path.exists('inside') and os.path.exists('outside')): time.sleep(.01)\n"
        + READY
        + "time.sleep(300)\n"
    )
    assert lab.run()["status"] == "timeout"
    assert (lab.project / "inside").read_text() == "TERM\n"
    assert (lab.project / "outside").read_text() == "TERM\n"


FAULTS = {
    "no space for start.json": (
        "announce = shim.Supervisor._announce\n"
        "def full(self):\n"
        "    if self.pid: raise OSError(28, 'No space left on device')\n"
        "    announce(self)\n"
        "shim.Supervisor._announce = full\n"
    ),
    "a fault while it waits": "shim.Clocks._look_at_log = lambda self, now: 1 // 0\n",
    "a fault while it ends the tree": "shim.Descendants.terminate = lambda self, leader: 1 // 0\n",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_shim_itself_costs_neither_the_limit_nor_the_record(
    tmp_path: Path, fault: str
) -> None:
    """A shim with a fault planted in it, as the engine starts it, with a job that never ends."""
    record = supervised(tmp_path, orders(tmp_path), FAULTS[fault])
    assert (record["ending"], record["survivors"]) == ("limit", [])
    assert 1 <= record["seconds"] < 25
    assert record["error"]
    assert cwd_in(tmp_path) == []


BLIND = (
    "shim.proc.descendants = lambda root: {}\n"
    "shim.proc.kill_children = lambda: None\n"
    "shim.operations.signal_group = lambda group, number: None\n"
)


def test_a_tree_that_was_never_seen_empty_is_not_said_to_be(tmp_path: Path) -> None:
    """As one that forks faster than any walk finds it: it counts as a survivor, though none can be named."""
    record = supervised(tmp_path, orders(tmp_path) | {"verify": 0.2}, BLIND)
    (job,) = cwd_in(tmp_path)
    os.kill(job, signal.SIGKILL)
    assert len(record["survivors"]) == 1


def test_a_pattern_that_does_not_compile_is_an_end_with_its_reason_and_starts_nothing(tmp_path: Path) -> None:
    """The session's check refuses it; an order from a daemon of another version may still hold one."""
    record = supervised(tmp_path, orders(tmp_path) | {"startup": 5.0, "ready_regex": "(["})
    assert record["ending"] == "spawn_failed"
    assert "--ready-regex '([' does not compile" in record["error"]


def supervised(folder: Path, orders: dict[str, object], fault: str = "") -> dict[str, Any]:
    """The record of a shim that is started as the engine does it."""
    ours, theirs = socket.socketpair()
    program = f"from ardaemon.shim import supervisor as shim\n{fault}shim.main()\n"
    with ours, theirs, (folder / "lock").open("w") as lock:
        root = str(Path(__file__).parents[2])
        argv = [sys.executable, "-S", "-c", program]
        process = subprocess.Popen(
            argv, stdin=theirs.fileno(), env={"PYTHONPATH": root}, start_new_session=True
        )
        shim = Spare(process, ours)
        shim.give(handover.dump(orders), (lock.fileno(), lock.fileno()))
        process.wait(DEADLINE_S)
    record: dict[str, Any] = json.loads((folder / "exit.json").read_bytes())
    return record


def orders(folder: Path) -> dict[str, object]:
    """What the engine hands to a shim, for a job that sleeps."""
    return {
        "folder": str(folder),
        "run_folder": str(folder),
        "cwd": str(folder),
        "argv": ["/bin/sleep", "300"],
        "environment": {},
        "limit": 1.0,
        "startup": None,
        "ready_regex": None,
        "stall": 60.0,
        "settle": 0.0,
        "grace": 0.5,
        "verify": 5.0,
        "boot_id": "boot",
    }


# Fills the disk with its own log, says nothing more, and ends.
FILL = """import os
try:
    while True:
        os.write(1, bytes(1 << 20))
except OSError:
    os._exit(3)
"""


@pytest.fixture
def small_disk(lab: Lab) -> Iterator[Lab]:
    """The project lies on a disk of 80 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a small disk of its own")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "small", lab.project], check=True)
    try:
        yield lab
    finally:
        subprocess.run(["umount", "--lazy", lab.project], check=True)


@pytest.mark.promise("disk-full")
def test_who_waits_for_a_run_whose_log_filled_the_disk_is_told_and_it_goes_on_once_there_is_room(
    small_disk: Lab,
) -> None:
    lab = small_disk
    lab.program = "tests.support.alert"
    lab.ready()
    run_id = launched(lab, FILL)
    for asked in ({"run_id": run_id}, {"any": True}):
        with pytest.raises(errors.StorageError, match="record waits for space"):
            lab.get("run.wait", **asked)
    view = lab.get("run.get", run_id=run_id)
    assert (view["state"], view["blocked"]) == ("running", True)
    log = lab.folder / f"runs/{run_id}/a1/run.log"
    log.unlink()
    wait_until(lambda: not lab.get("run.get", run_id=run_id)["blocked"], "it to go on")
    result = lab.wait(run_id)["result"]
    assert (result["status"], result["exit_code"]) == ("crash", 3)
    assert result["reason"] == "exit code 3; the disk was full when it ended"
