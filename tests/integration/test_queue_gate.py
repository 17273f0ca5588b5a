"""Pause, resume, drain, and the hours: nothing starts, what runs goes on, who waits is told."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.lab import Lab, wait_until
from tests.support.machine import configured
from tests.support.shell import Shell, lives, shells

PAUSED = "the queue is paused: arctl queue resume"


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    with shells(lab) as made:
        yield made


def whys(shell: Shell) -> list[str | None]:
    return [run.get("why") for run in shell.json("queue")["runs"]]


def test_a_pause_lets_nothing_start_and_what_runs_goes_on(shell: Shell) -> None:
    shell.hold(0.9)
    running = shell.waiting("run", "--wait")
    assert shell("queue", "pause") == f"{PAUSED}\n"
    shell.lab.edit(0.5)
    assert PAUSED in shell("run")
    assert whys(shell)[1] == PAUSED
    assert shell("queue").splitlines()[0] == f"{PAUSED} (1 wait)"
    shell.release()
    assert shell.end(running)[0] == 0
    assert shell.states() == ["queued"]
    assert shell("queue", "resume") == "the queue is open\n"
    assert "[r0002] advance" in shell("wait", "r0002")


def test_a_pause_holds_over_a_killed_daemon(shell: Shell) -> None:
    shell("queue", "pause")
    pid = shell.json("daemon", "status")["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not lives(pid), "the daemon's end")
    shell.lab.edit(0.5)
    assert PAUSED in shell("run")
    shell("queue", "resume")
    shell("wait", "r0001")


def test_a_pause_for_a_time_ends_by_itself(shell: Shell) -> None:
    begun = time.time()
    answer = shell.json("queue", "pause", "--for", "3s")
    assert begun + 3 <= answer["closed_until"] <= time.time() + 3
    assert answer["closed"].startswith("the queue is paused until ")
    shell.lab.edit(0.5)
    assert "[r0001] advance" in shell("run", "--wait")
    assert time.time() >= begun + 3


def test_a_pause_for_a_time_leaves_an_endless_one_as_it_is_and_says_so(shell: Shell) -> None:
    shell("queue", "pause")
    code, out, err = shell.end(shell.start("queue", "pause", "--for", "1s"))
    assert (code, out) == (0, f"{PAUSED}\n")
    assert err.startswith("warning: it was closed for longer before, and stays so; ")
    assert shell.json("queue")["closed_until"] is None
    shell("queue", "resume")
    assert shell.json("queue", "pause", "--for", "1h")["closed_until"] is not None


def test_drain_waits_for_the_end_of_what_runs(shell: Shell) -> None:
    shell.hold(0.9)
    running = shell.waiting("run", "--wait")
    out = shell("queue", "drain", "--timeout", "1", code=75)
    assert out == ""
    shell("queue", "resume")
    draining = shell.start("queue", "drain")
    wait_until(lambda: "drained for maintenance" in (shell.json("queue")["closed"] or ""), "the drain")
    assert draining.poll() is None
    shell.release()
    shell.end(running)
    code, out, err = shell.end(draining)
    assert (code, out) == (0, "nothing runs, nothing starts: arctl queue resume\n")
    assert err.startswith("1 at work: ")
    shell.lab.edit(0.5)
    assert "drained for maintenance" in shell("run")
    shell("queue", "resume")
    shell("wait", "r0002")


def test_ctrl_c_ends_the_waiting_and_the_queue_stays_closed(shell: Shell) -> None:
    shell.hold(0.9)
    running = shell.waiting("run", "--wait")
    draining = shell.start("queue", "drain")
    wait_until(lambda: shell.json("queue")["closed"], "the drain")
    draining.send_signal(signal.SIGINT)
    code, _, err = shell.end(draining)
    assert code != 0
    assert "Traceback" not in err
    assert shell.json("queue")["closed"]
    shell.release()
    shell.end(running)


def test_outside_of_the_hours_nothing_starts_unless_somebody_opens(shell: Shell) -> None:
    shell("daemon", "stop")
    hour = time.localtime(time.time() + 2 * 3600).tm_hour
    configured(shell.lab, f'hours = "{hour}-{(hour + 1) % 24}"\n')
    shell.lab.edit(0.5)
    assert "outside of the hours in config.toml until " in shell("run")
    assert "outside of the hours" in shell("queue", "resume")
    opened = shell("queue", "resume", "--for", "10m")
    assert re.fullmatch(r"the queue is open until [-0-9]+ [0-9:]+, whatever the hours say\n", opened)
    assert "[r0001] advance" in shell("wait", "r0001")


def test_an_order_that_cannot_be_read_keeps_the_queue_closed(shell: Shell) -> None:
    shell("daemon", "stop")
    (shell.lab.home / "queue.json").write_text("{")
    shell.lab.edit(0.5)
    shell("run")
    (why,) = whys(shell)
    assert "queue.json" in str(why)
    assert "the queue is paused: arctl queue resume" in str(why)
    assert shell.json("queue", "pause", "--for", "1s")["closed_until"] is None
    shell("queue", "resume")
    assert json.loads((shell.lab.home / "queue.json").read_text())["state"] == "open"
    shell("wait", "r0001")


@pytest.mark.parametrize("text", ["2", "2x", "-1h", "0s", "inf", "367d", ""])
def test_a_length_of_time_that_is_none_is_refused(shell: Shell, text: str) -> None:
    if text == "2":
        assert shell.json("queue", "pause", "--for", text)["closed_until"] < time.time() + 3
    else:
        shell("queue", "pause", f"--for={text}", code=64)
        assert shell.json("queue")["closed"] is None
