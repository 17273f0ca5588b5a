"""However a call ends, its run goes on and is judged once."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from arctl.mcp.progress import PROGRESS_S
from tests.support.agents import COMMAND, HANDSHAKE, PROTOCOLS, Agent, agent, said
from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.shell import Shell, shells, sockets


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    """A project with a live session, and a train.py that runs until it is released."""
    with shells(lab) as made:
        made.hold(1.0)
        yield made


def running(client: Agent, shell: Shell) -> int:
    """Call `run` without an answer, and wait until the job runs; the request's id."""
    request = client.start("run")
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    return request


def judged_once(shell: Shell) -> None:
    """The run ends by itself, and is judged once."""
    shell.release()
    wait_until(lambda: not shell.states(), "the run is committed")
    rows = (shell.lab.folder / "results.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[0::3][:2] for row in rows] == [["r0001", "advance"]]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_is_killed_leaves_its_run(shell: Shell, protocol: str) -> None:
    with agent(shell.lab, protocol=protocol) as client:
        running(client, shell)
        client.process.kill()
        client.process.wait()
        judged_once(shell)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_server_at_once_and_leaves_its_run(shell: Shell, number: int) -> None:
    with agent(shell.lab) as client:
        running(client, shell)
        client.process.send_signal(number)
        assert client.process.wait(DEADLINE_S) == -number
        judged_once(shell)


def test_a_closed_input_ends_the_server_and_leaves_its_run(shell: Shell) -> None:
    with agent(shell.lab) as client:
        running(client, shell)
        assert client.leave() == 0
        assert client.errors() == ""
        judged_once(shell)


def test_requests_that_a_script_writes_before_it_closes_the_input_are_answered(lab: Lab) -> None:
    lab.ready()
    client = {"name": "script", "version": "1"}
    hello = {"protocolVersion": HANDSHAKE[0], "capabilities": {}, "clientInfo": client}
    asked = [("initialize", hello), ("tools/list", {}), ("tools/call", {"name": "status", "arguments": {}})]
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        for number, (method, params) in enumerate(asked)
    ]
    done = subprocess.run(
        COMMAND, input="\n".join(lines), env=lab.environment, cwd=lab.project, capture_output=True, text=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(answer["id"] for answer in answers) == [0, 1, 2]
    assert all("result" in answer for answer in answers)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_cancelled_call_leaves_its_run_and_the_same_call_waits_for_it(shell: Shell, protocol: str) -> None:
    shell.lab.edit(2.0)
    shell("run", "--wait")  # before there is a best, no version is compared with others
    shell.hold(1.0)
    with agent(shell.lab, protocol=protocol) as client:
        idle = sockets(client.process.pid)
        request = running(client, shell)
        cancelled = {"requestId": request, "reason": "the user pressed Esc"}
        client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled})
        assert client.do("status")["active"] == ["r0002 running"]
        again = client.start("run")
        wait_until(lambda: sockets(client.process.pid) > idle, "it asks the daemon")
        shell.release()
        answer = client.answer(again)["result"]
        assert answer["structuredContent"]["run_id"] == "r0002"
        assert "this version was under way as r0002: nothing was recorded for this call" in said(answer)
        assert "runs: 2 total (2 advance" in client.do("status")["text"]


def test_cancelled_calls_hold_no_connections(shell: Shell) -> None:
    """All clients share those of the daemon; a wait would keep its own until progress is due."""
    with agent(shell.lab) as client:
        running(client, shell)
        while "running" not in str((message := client.receive()) and message.get("params")):
            assert message is not None  # it waits for the verdict once it has told of the launch
        descriptors = Path(f"/proc/{client.process.pid}/fd")
        before = len(list(descriptors.iterdir()))
        calls = [client.start("wait") for _ in range(20)]
        wait_until(lambda: len(list(descriptors.iterdir())) >= before + len(calls), "all of them wait")
        for call in calls:
            client.send(
                {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": call}}
            )
        wait_until(lambda: len(list(descriptors.iterdir())) <= before, "none of them waits", PROGRESS_S / 2)
        assert client.do("status")["active"] == ["r0001 running"]


def test_two_servers_wait_for_one_run_and_both_get_its_verdict(shell: Shell) -> None:
    with agent(shell.lab) as one, agent(shell.lab) as other:
        first = running(one, shell)
        second = other.start("wait", run_id="r0001")
        shell.release()
        for client, request in ((one, first), (other, second)):
            assert client.answer(request)["result"]["structuredContent"]["verdict"] == "advance"


def test_when_the_time_is_over_the_answer_says_to_wait(shell: Shell) -> None:
    """`--wait-max` is the upper limit of what a call may ask for."""
    with agent(shell.lab, options=("--wait-max", "0.3")) as client:
        assert "at most 0.3" in client.greeting["instructions"]
        answer = client.call("run", timeout_s=600)
        assert answer["structuredContent"]["next"] == "wait"
        assert "wait run_id=r0001" in said(answer)
        shell.release()
        wait_until(lambda: client.do("wait", run_id="r0001").get("verdict") == "advance", "the verdict")


@pytest.mark.parametrize("how", ["killed", "restarted"])
def test_a_daemon_that_goes_away_in_a_wait_is_asked_again(shell: Shell, how: str) -> None:
    with agent(shell.lab) as client:
        request = running(client, shell)
        if how == "restarted":
            shell("daemon", "restart")
        else:
            daemon = int(json.loads((shell.lab.home / "daemon.json").read_bytes())["pid"])
            os.kill(daemon, signal.SIGKILL)
        shell.release()
        assert client.answer(request)["result"]["structuredContent"]["verdict"] == "advance"


def test_a_daemon_that_a_person_stops_in_a_wait_stays_stopped(shell: Shell) -> None:
    with agent(shell.lab) as client:
        request = running(client, shell)
        shell("daemon", "stop")
        answer = client.answer(request)["result"]
        assert "the daemon was stopped" in said(answer)
        assert answer["structuredContent"]["next"] == "wait"
        shell.lab.start()
        judged_once(shell)


def test_a_run_that_is_cancelled_is_interrupted(shell: Shell) -> None:
    with agent(shell.lab) as client:
        request = running(client, shell)
        assert client.do("cancel", run_id="r0001")["run_id"] == "r0001"
        assert client.answer(request)["result"]["structuredContent"]["verdict"] == "interrupted"
        assert client.do("status")["session"] == "live"
