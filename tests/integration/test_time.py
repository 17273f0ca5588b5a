"""The wall clock is set while a run is under way: no limit, wait or verdict is changed by it."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.jobs import launched, shim_of
from tests.support.lab import Lab, wait_until
from tests.support.promises import FULL
from tests.support.shell import Shell

pytestmark = pytest.mark.promise("clock")

DAY, YEAR = 86400.0, 365 * 86400.0
JUMPS = {"a day back": -DAY, "to 1970": -time.time() + 60, "a year forward": YEAR}
SLEEP = "import time\nprint('val/loss: 1', flush=True)\ntime.sleep(60)\n"
# Says something every 0.3 s, for longer than the stall limit of its test, and is never silent for as long.
CHATTY = (
    "import time\nfor step in range(18):\n    print('val/loss:', step, flush=True)\n    time.sleep(0.3)\n"
)
STALL_S = 4.0
LATE_S = 20.0  # so much later than its limit may an end be seen: a jump is far longer, and so are the jobs


def jumps(quick: str) -> pytest.MarkDecorator:
    """All of them in full, else the one that is named."""
    return pytest.mark.parametrize("jump", list(JUMPS) if FULL else [quick])


@pytest.fixture
def clock(lab: Lab) -> Clock:
    """The lab's wall clock, its daemon started under it."""
    found = Clock(lab)
    found.start()
    lab.init()
    return found


def begun(lab: Lab, run_id: str) -> float:
    """When the job was started, by CLOCK_MONOTONIC."""
    return float(lab.read(f"runs/{run_id}/a1/start.json")["monotonic"])


def jumped(lab: Lab, clock: Clock, jump: str, script: str) -> tuple[dict[str, Any], float]:
    """A run in the midst of which the clock is set: its result, and how long that was in coming."""
    run_id = launched(lab, script)
    wait_until((lab.folder / f"runs/{run_id}/a1/run.log").read_bytes, "the script's first words")
    clock.set(JUMPS[jump])
    result: dict[str, Any] = lab.wait(run_id)["result"]
    assert year(result["ended_at"]) == year_now(clock, jump), "the clock was not set for the shim"
    clock.set(0)
    return result, time.monotonic() - begun(lab, run_id)


def year(stamp: str) -> int:
    return int(stamp[:4])


def year_now(clock: Clock, jump: str) -> int:
    return datetime.fromtimestamp(time.time() + JUMPS[jump], UTC).year


@jumps("a year forward")
def test_the_limit_is_neither_early_nor_late(lab: Lab, clock: Clock, jump: str) -> None:
    lab.session(seconds=1.5)
    result, lasted = jumped(lab, clock, jump, SLEEP)
    assert (result["status"], result["reason"]) == ("timeout", "limit")
    assert 1.5 <= result["seconds"] < 1.5 + LATE_S
    assert 1.5 <= lasted < 1.5 + 2 * LATE_S


@jumps("a day back")
def test_the_startup_time_and_the_limit_after_it(lab: Lab, clock: Clock, jump: str) -> None:
    lab.session(seconds=1, startup=1)
    result, _ = jumped(lab, clock, jump, SLEEP)
    assert result["status"] == "timeout"
    assert 2 <= result["seconds"] < 2 + LATE_S


@jumps("a year forward")
def test_a_run_that_goes_on_talking_is_not_called_stalled_and_a_silent_one_is(
    lab: Lab, clock: Clock, jump: str
) -> None:
    lab.session(seconds=50, stall=STALL_S)
    result, _ = jumped(lab, clock, jump, CHATTY)
    assert (result["status"], result["reason"]) == ("ok", None)
    result, _ = jumped(lab, clock, jump, SLEEP)
    assert (result["status"], result["reason"]) == ("timeout", "stall")
    assert STALL_S <= result["seconds"] < STALL_S + LATE_S


# Writes a checkpoint, with the times that a file system under the same clock gives it.
SAVE = """import os, pathlib, time
while not os.path.exists({go!r}):
    time.sleep(0.01)
pathlib.Path({name!r}).write_text("weights")
os.utime({name!r}, (time.time(), time.time()))
print("val/loss: {value}")
"""


@jumps("a day back")
def test_a_checkpoint_is_this_runs_if_it_was_written_since_its_launch_by_no_clock(
    lab: Lab, clock: Clock, jump: str
) -> None:
    out, told = lab.project / "out", lab.root / "go"
    out.mkdir()
    for name, when in (("ck-old", 0.0), ("ck-future", time.time() + 2 * YEAR)):
        (out / name).write_text(name)
        os.utime(out / name, (when, when))
    lab.session(checkpoint_glob="out/ck-*")
    run_id = launched(lab, SAVE.format(go=str(told), name=str(out / "ck-new"), value=1.0))
    clock.set(JUMPS[jump])
    told.touch()
    result = lab.wait(run_id)["result"]
    assert result["checkpoint"] == f".ckpt/{run_id}"
    assert {p.name for p in (lab.folder / "best_ckpt").iterdir()} == {"ck-new", "meta.json"}
    assert lab.tried(0.5)["checkpoint"] is None, "nothing was written by it"
    again = launched(lab, SAVE.format(go=str(told), name=str(out / "ck-old"), value=0.4))
    assert lab.wait(again)["result"]["checkpoint"] == f".ckpt/{again}"
    assert (lab.folder / "best_ckpt/ck-old").read_text() == "weights"


@jumps("to 1970")
def test_waits_follow_their_own_clock_and_the_log_is_followed_on(lab: Lab, clock: Clock, jump: str) -> None:
    lab.session(seconds=100)
    shell = Shell(lab)
    go = lab.root / "go"
    run_id = launched(
        lab,
        "import os, time\nprint('val/loss: 0.9', flush=True)\n"
        f"while not os.path.exists({str(go)!r}):\n    time.sleep(0.02)\n"
        "print('val/loss: 0.8', flush=True)\ntime.sleep(100)\n",
    )
    wait_until(lambda: lab.get("run.get", run_id=run_id)["latest"] == 0.9, "the live value")
    asked = time.monotonic()
    waiting = shell.start("wait", run_id, "--timeout", "2")
    client = lab.rpc()
    clock.set(JUMPS[jump])
    client.call("run.wait", project=str(lab.project), expr=lab.folder.name, run_id=run_id, timeout=0.5)
    assert time.monotonic() - asked >= 0.5
    code, out, _ = shell.end(waiting)
    assert (code, "still running" in out) == (75, True)
    assert 2 <= time.monotonic() - asked < 2 + 2 * LATE_S
    go.touch()
    wait_until(lambda: lab.get("run.get", run_id=run_id)["latest"] == 0.8, "the live value after the jump")
    assert 0 < lab.get("run.get", run_id=run_id)["elapsed"] < time.monotonic() - begun(lab, run_id)
    lab.get("run.cancel", run_id=run_id)
    assert lab.wait(run_id)["result"]["status"] == "interrupted"


@jumps("a day back")
def test_a_daemon_that_starts_under_another_clock_goes_on_with_the_same_limit(
    lab: Lab, clock: Clock, jump: str
) -> None:
    lab.session(seconds=3)
    run_id = launched(lab, SLEEP)
    os.kill(shim_of(lab, run_id), 9)  # the daemon itself has to keep to the limit
    lab.kill()
    clock.set(JUMPS[jump])
    clock.start()
    result = lab.wait(run_id)["result"]
    assert result["reason"] == "supervisor_lost"
    assert 3 <= time.monotonic() - begun(lab, run_id) < 3 + 2 * LATE_S


def test_ids_rows_and_archives_keep_their_order_whatever_the_clock_says(lab: Lab, clock: Clock) -> None:
    lab.session()
    results = []
    for number, jump in enumerate(JUMPS, 1):
        clock.set(JUMPS[jump])
        results.append(lab.tried(10.0 - number))
    rows = (lab.folder / "results.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[0] for row in rows] == ["r0001", "r0002", "r0003"]
    assert [result["verdict"] for result in results] == ["advance"] * 3
    assert [result["primary"]["best_run_before"] for result in results] == [None, "r0001", "r0002"]
    assert [row["run_id"] for row in lab.get("status.get", last=2)["recent"]] == ["r0002", "r0003"]
    clock.set(0)
    for _ in range(2):
        lab.get("session.stop")
        lab.session(resume="fresh")
        clock.set(-DAY)
    assert len(list((lab.folder / "archive").iterdir())) == 2
    assert lab.tried(1.0)["run_id"] == "r0004"


def test_the_library_moves_the_clock_of_time_and_of_nothing_else(lab: Lab, clock: Clock) -> None:
    """Else every test here would pass by itself."""
    clock.set(YEAR)
    program = "import time, datetime; print(time.time(), datetime.datetime.now().year, time.monotonic())"
    said = Path(lab.root / "said")
    script = f"import subprocess, sys\nopen({str(said)!r}, 'w').write(subprocess.run([sys.executable, '-c', "
    lab.session()
    lab.write(f"{script}{program!r}], stdout=-1, text=True).stdout)\nprint('val/loss: 1')\n")
    assert lab.run()["status"] == "ok"
    shown, _, monotonic = said.read_text().split()
    assert abs(float(shown) - time.time() - YEAR) < 60
    assert abs(float(monotonic) - time.monotonic()) < 60
