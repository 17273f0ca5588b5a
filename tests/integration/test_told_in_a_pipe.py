"""What `run --wait` and `wait` say on stderr while a run waits: to an agent, in a pipe, once."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.lab import SLUG, Lab, wait_until
from tests.support.older import Version
from tests.support.shell import Shell, shells

PAUSED = "the queue is paused: arctl queue resume"
QUEUED = f"[r0002] queued, 1st: waits for one of 1 CPU slots: {SLUG}/r0001"
CHANGES = 30  # of the queue: as many as a long wait may meet


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    with shells(lab) as made:
        yield made


def occupied(shell: Shell) -> None:
    """A run that is at work until `release`."""
    shell.hold(0.9)
    shell("run")
    wait_until(lambda: shell.states() == ["running"], "the run runs")


def told(process: subprocess.Popen[str]) -> str:
    """The next line on its stderr."""
    assert process.stderr is not None
    return process.stderr.readline().rstrip("\n")


def outcome(shell: Shell, process: subprocess.Popen[str]) -> tuple[list[str], str]:
    """Once it is over: the first words of each line on stdout, and what came on stderr since."""
    code, out, err = shell.end(process)
    assert code == 0
    return [" ".join(line.split()[:2]) for line in out.splitlines()], err


FOUR = ["[r0002] launched:", "[r0002] metric", "[r0002] advance:", "[r0002] continue:"]


def test_a_run_that_starts_at_once_says_nothing(shell: Shell) -> None:
    shell.lab.edit(0.5)
    code, _, err = shell.end(shell.start("run", "--wait"))
    # "launching" only where the machine is so busy that the start takes a second
    assert (code, err.replace("[r0001] launching\n", "")) == (0, "")


def test_a_long_wait_in_a_pipe_prints_one_line_however_much_happens(shell: Shell) -> None:
    occupied(shell)
    shell.lab.edit(0.5)
    waiting = shell.start("run", "--wait")
    assert told(waiting) == QUEUED
    shell.lab.edit(0.7)
    shell("run")
    for change in range(CHANGES):
        shell.lab.call("queue.move", **about(shell, "r0003"), priority=change + 1)
    assert shell("queue").splitlines()[1].split()[1:4] == ["r0003", "queued", "1:"]
    shell.release()
    assert outcome(shell, waiting) == (FOUR, "")


def about(shell: Shell, run_id: str) -> dict[str, Any]:
    return {"project": str(shell.lab.project), "expr": SLUG, "run_id": run_id}


def test_a_pause_is_told_to_who_waits_and_once(shell: Shell) -> None:
    occupied(shell)
    shell.lab.edit(0.5)
    waiting = shell.start("run", "--wait", "--json")
    assert told(waiting) == QUEUED
    shell("queue", "pause")
    assert told(waiting) == f"[r0002] queued: {PAUSED}"
    shell("queue", "resume")
    shell("queue", "drain", "--timeout", "1", code=75)
    shell("queue", "resume")
    shell.release()
    code, out, err = shell.end(waiting)
    assert (code, json.loads(out)["run_id"], err) == (0, "r0002", "")


def test_a_queue_that_was_paused_before_is_told_in_the_one_line(shell: Shell) -> None:
    shell("queue", "pause")
    shell.lab.edit(0.5)
    shell("run")
    waiting = shell.start("wait", "--any")
    assert told(waiting) == f"[r0001] queued: {PAUSED}"
    shell("queue", "resume")
    code, out, err = shell.end(waiting)
    assert (code, len(out.splitlines()), err) == (0, 3, "")


def test_a_run_that_is_held_meanwhile_ends_the_wait_and_says_why(shell: Shell) -> None:
    occupied(shell)
    shell.lab.edit(0.5)
    waiting = shell.start("run", "--wait")
    assert told(waiting) == QUEUED
    shell("queue", "hold", "r0002")
    code, out, err = shell.end(waiting)
    assert (code, out) == (76, "")
    assert "r0002 does not move by itself: held" in err
    assert "arctl queue release r0002" in err
    shell("cancel", "r0002")


def test_a_wait_that_is_given_up_has_told_what_the_run_waits_for(shell: Shell) -> None:
    occupied(shell)
    shell.lab.edit(0.5)
    code, out, err = shell.end(shell.start("run", "--wait", "--timeout", "4"))
    assert (code, err) == (75, f"{QUEUED}\n")
    assert "arctl wait r0002" in out


def test_the_daemon_sends_nothing_to_who_waits_until_somebody_closes_the_queue(shell: Shell) -> None:
    occupied(shell)
    shell.lab.edit(0.5)
    shell("run")
    client = shell.lab.rpc()
    params = {**about(shell, "r0002"), "until": "launched_or_closed"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "run.wait", "params": params}
    client.send_raw(json.dumps(call).encode() + b"\n")
    for change in range(CHANGES):
        shell.lab.call("queue.move", **about(shell, "r0002"), priority=change + 1)
    shell("queue", "pause")
    answer = client.receive()
    assert (answer["id"], answer["result"]["why"]) == (1, PAUSED)
    shell("queue", "resume")


def test_with_an_earlier_daemon_the_line_is_the_same(lab: Lab) -> None:
    """It does not know how to wait for the queue to be closed."""
    earlier = Version(lab, "0.0.1", 2)
    protocol = earlier.root / "ardaemon/core/protocol.py"
    text = protocol.read_text()
    assert ', "launched_or_closed"]' in text
    protocol.write_text(text.replace(', "launched_or_closed"]', "]"))
    earlier.boot()
    with shells(lab) as shell:
        occupied(shell)
        shell.lab.edit(0.5)
        waiting = shell.start("run", "--wait")
        assert told(waiting) == QUEUED
        shell.release()
        assert outcome(shell, waiting) == (FOUR, "")
