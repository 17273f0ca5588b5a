"""Hundreds of runs that wait: who only looks is answered at once, and with no more than he reads."""

import json
import shutil
from pathlib import Path

import pytest

from ardaemon.core.errors import UnknownRun
from ardaemon.core.layout import Experiment
from ardaemon.core.protocol import STATUS_RUNS_MAX
from tests.support import waiting
from tests.support.lab import Lab, wait_until
from tests.support.shell import Shell

RUNS = 300
LEFT = ".x.json.1-1.1.tmp"  # as a killed daemon leaves it: the next one removes it before all else


@pytest.fixture
def left(lab: Lab) -> Lab:
    """A stopped daemon, its queue closed, and the runs that wait in it."""
    lab.ready()
    lab.call("queue.pause")
    lab.stop()
    waiting.lay_out(Experiment(lab.folder), lab.home / "active", range(1, RUNS + 1), lab.environment)
    return lab


def held_up(lab: Lab) -> Path:
    """A daemon that takes up no run as long as this file is there."""
    (lab.folder / LEFT).touch()
    flag = lab.root / "flag"
    at = ["daemon", "unlink", f"~/p/.autoresearch/{lab.folder.name}/.x.json.tmp", 1]
    plan = {"root": str(lab.root), "at": at, "do": "wait", "flag": str(flag)}
    lab.start("tests.support.faulty", FAULT_PLAN=json.dumps(plan))
    wait_until(flag.exists, "the runs to be taken up")
    return flag


def test_who_looks_is_answered_while_they_are_taken_up_and_who_decides_waits_for_that(left: Lab) -> None:
    flag = held_up(left)
    view = left.get("status.get")
    assert (view["waiting"], view["active"]) == (RUNS, [])
    assert f"takes up {RUNS} runs again" in view["warnings"][0]
    assert left.call("daemon.info")["active"] == RUNS
    listed = left.call("queue.list")
    assert listed["runs"] == []
    assert f"takes up {RUNS} runs again" in listed["warnings"][0]
    assert left.call("status.list", project=str(left.project))["experiments"][0]["waiting"] == RUNS
    waiter = left.rpc()
    given = {"project": str(left.project), "expr": left.folder.name, "run_id": "r0300", "timeout": 0}
    waiter.send_raw(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "run.wait", "params": given}).encode())
    waiter.send_raw(b"\n")
    flag.unlink()
    assert waiter.receive()["result"]["state"] == "queued"
    view = left.get("status.get")
    assert (view["waiting"], view["warnings"]) == (RUNS, [])


def test_status_is_as_long_as_it_was_with_a_few_runs(left: Lab) -> None:
    left.start()
    wait_until(lambda: len(left.call("queue.list")["runs"]) == RUNS, "all runs")
    client = left.rpc()
    given = {"project": str(left.project), "expr": left.folder.name}
    client.send_raw(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "status.get", "params": given}).encode())
    client.send_raw(b"\n")
    line = client.file.readline()
    view = json.loads(line)["result"]
    assert (view["blocked"], view["at_work"], view["waiting"]) == (0, 0, RUNS)
    assert [run["run_id"] for run in view["active"]] == [f"r{n:04d}" for n in range(1, STATUS_RUNS_MAX + 1)]
    assert len(line) < 20_000
    shown = Shell(left)("status", "--compact")
    assert f"queued: {RUNS} — the queue is paused" in shown


def test_stopping_a_daemon_that_takes_runs_up_leaves_them_to_the_next_one(left: Lab) -> None:
    flag = held_up(left)
    assert left.process is not None
    left.process.terminate()
    flag.unlink()
    left.stop()
    left.start()
    wait_until(lambda: len(left.call("queue.list")["runs"]) == RUNS, "all runs")
    shutil.rmtree(left.folder / "runs")
    left.kill()
    left.start()
    with pytest.raises(UnknownRun):
        left.get("run.get", run_id="r0300")
