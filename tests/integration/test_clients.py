"""Clients die all the time, in every way: the run goes on, others are served, nothing is left of them."""

import contextlib
import json
import math
import os
import pty
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from ardaemon.core.config import REQUESTS_PER_CONNECTION
from tests.support.lab import DEADLINE_S, SLUG, Lab, Rpc, wait_until
from tests.support.look import into
from tests.support.machine import configured
from tests.support.promises import times
from tests.support.pulse import served_s
from tests.support.shell import UNTIL_TOLD, Shell, lives, shells
from tests.support.usage import Usage, of_session, usage
from tests.support.wire import SENTINEL, faults

pytestmark = pytest.mark.promise("clients-die")

# Beyond what it had: allocators keep some of what they once needed. A leak would pass this within one test.
GROWTH_MAX = 16 << 20
FLOOD_MAX = 96 << 20  # while many clients do not read: answers that wait for them
PROMPT_S = 5.0  # the longest that another client waits, but for a processor that somebody else has


@pytest.fixture
def shell(lab: Lab) -> Iterator[Shell]:
    """A project with a live session, its daemon started by a client."""
    with shells(lab) as made:
        yield made


def impatient(lab: Lab) -> Lab:
    """A daemon that drops who does not read or finish within a second."""
    configured(lab, "send_timeout = 1.0\nrequest_timeout = 1.0\n")
    lab.forges_helpers = False  # they are looked for among its children
    lab.start()
    # Its socket shall not be taken for a client's that came later.
    wait_until(psutil.Process(lab.pid).children, "the spare shim")
    return lab


def daemon_of(shell: Shell) -> int:
    pid: int = json.loads((shell.lab.home / "daemon.json").read_bytes())["pid"]
    return pid


def connections(pid: int) -> int:
    """How many sockets a daemon holds at its address: its listening one, and one for each client.

    Those of its loop, its shims and its workers have no address (proc(5), net/unix).
    """
    rows = (line.split() for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines())
    ours = {f"socket:[{row[6]}]" for row in rows if row[-1].endswith("/control.sock")}
    found = 0
    for entry in (into(pid) / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found += os.readlink(entry) in ours
    return found


def back_to(pid: int, before: Usage) -> None:
    """Descriptors and memory come back, and threads are bounded (those of the pool wait for the next use).

    A spare shim may have been parked, and a running job's log is watched: some descriptors more, where
    every client that was not let go would be one.
    """
    wait_until(lambda: usage(pid).descriptors <= before.descriptors + 6, "the descriptors given back")
    now = usage(pid)
    assert now.memory < before.memory + GROWTH_MAX
    assert now.threads <= before.threads + 8


def comes_to_rest(pid: int, cold: Usage, again: Callable[[], object], rounds: int) -> None:
    """Do it so often, and on until its memory stays as it is. What leaks passes FLOOD_MAX before.

    The allocator keeps some of its peak, and a daemon that is short of processors gets there late.
    """
    last = cold
    while rounds > 0:
        again()
        before, last, rounds = last, usage(pid), rounds - 1
        assert last.memory < cold.memory + FLOOD_MAX
        if rounds == 0 and last.memory > before.memory + GROWTH_MAX:
            rounds = 1
    back_to(pid, before._replace(descriptors=cold.descriptors))


def judged_once(shell: Shell, run_id: str) -> None:
    assert shell.json("wait", run_id)["verdict"] == "advance"
    assert (shell.lab.folder / "results.tsv").read_text().count(run_id) == 1
    assert list((shell.lab.home / "active").iterdir()) == []


# --- the client of a running run ---


def shell_line(shell: Shell, line: str, **options: Any) -> subprocess.Popen[str]:
    """A line of sh in a session of its own, with `arctl` in it."""
    return subprocess.Popen(
        ["sh", "-c", line.replace("arctl", f"{shlex.quote(sys.executable)} -m arctl")],
        env=shell.lab.environment,
        cwd=shell.lab.project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        **options,
    )


def kill_session(leader: int) -> None:
    while found := of_session(leader):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()


def group_killed(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def session_killed(process: subprocess.Popen[str]) -> None:
    kill_session(process.pid)


def hung_up(process: subprocess.Popen[str]) -> None:
    for pid in of_session(process.pid):
        with contextlib.suppress(ProcessLookupError):  # it has ended by another one's end
            os.kill(pid, signal.SIGHUP)


@pytest.mark.parametrize("again", times(10, 1))
@pytest.mark.parametrize(
    ("line", "end"),
    [
        ("exec arctl run --wait", killed),
        ("arctl run --wait | cat", group_killed),
        ("set -m; (sleep 60 | cat) & arctl run --wait | cat", session_killed),
        ("arctl run --wait | tee /dev/null", hung_up),
    ],
    ids=["client", "group", "session", "hangup"],
)
def test_a_client_that_is_killed_leaves_its_run_alone(
    shell: Shell, line: str, end: Callable[[subprocess.Popen[str]], None], again: int
) -> None:
    shell.hold(0.9)
    pid = daemon_of(shell)
    before = usage(pid)
    process = shell_line(shell, line)
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    end(process)
    kill_session(process.pid)
    process.wait(DEADLINE_S)
    assert shell.states() == ["running"]
    assert (lives(pid), daemon_of(shell)) == (True, pid)
    shell.release()
    judged_once(shell, "r0001")
    back_to(pid, before)
    assert faults(shell.lab) == []


def test_a_client_whose_terminal_is_closed_leaves_its_run_alone(shell: Shell) -> None:
    """A real terminal: its master's last descriptor is closed, and the kernel hangs up."""
    shell.hold(0.9)
    child, master = pty.fork()
    if child == 0:
        try:
            os.chdir(shell.lab.project)
            os.execve(sys.executable, [sys.executable, "-m", "arctl", "run", "--wait"], shell.lab.environment)
        finally:
            os._exit(127)
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    os.close(master)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 75  # detached
    assert shell.states() == ["running"]
    shell.release()
    judged_once(shell, "r0001")


def test_a_client_whose_reader_goes_away_leaves_its_run_alone(shell: Shell) -> None:
    process = shell_line(shell, f"arctl run --wait | (head -c1 > {shell.lab.root}/first; touch {shell.go})")
    assert process.wait(DEADLINE_S) == 0
    assert (shell.lab.root / "first").read_text() == "["
    judged_once(shell, "r0001")
    assert faults(shell.lab) == []


@pytest.mark.timeout(300)
def test_a_client_killed_at_any_moment_has_submitted_or_not(
    shell: Shell, record_property: Callable[[str, Any], None]
) -> None:
    """From before its first byte to the verdict: each run that is recorded is judged as ever."""
    moments = len(times(60, 8))
    record_property("cases", moments)
    begun = time.monotonic()
    shell("run", "--wait")
    whole = time.monotonic() - begun
    for number in range(moments):
        shell.lab.edit(-number)
        process = shell.start("run", "--wait")
        time.sleep(whole * number / moments)  # not a wait: the moment of the kill
        process.kill()
        process.communicate()
    wait_until(lambda: shell.states() == [], "all are judged")
    rows = (shell.lab.folder / "results.tsv").read_text().splitlines()[1:]
    found = [row.split("\t")[:5] for row in rows]
    ids = [f"r{number:04d}" for number in range(1, len(rows) + 1)]
    assert ([row[0] for row in found], {row[2] for row in found}) == (ids, {"ok"})
    # A killed client's train.py may be read after the next edit: two runs of that, the second no better.
    values = [float(row[4]) for row in found]
    better = [value < min(values[:number], default=math.inf) for number, value in enumerate(values)]
    assert [row[3] for row in found] == ["advance" if is_better else "revert" for is_better in better]
    assert faults(shell.lab) == []


# --- the client that started the daemon ---


def test_the_death_of_all_that_started_the_daemon_leaves_daemon_and_job_alive(lab: Lab) -> None:
    shell = Shell(lab)
    (lab.project / "t.py").write_text('print("val/loss: 1.0")\n')
    line = (
        f"arctl init {SLUG} --train t.py --primary-metric val/loss --primary-direction min --goal x &&"
        " arctl session start --seconds 20 --settle 1 &&"
        f" cp {lab.root}/held .autoresearch/{SLUG}/train.py && arctl run --wait | cat"
    )
    (lab.root / "held").write_text(UNTIL_TOLD.format(go=str(shell.go), value=0.9))
    process = shell_line(shell, line)
    wait_until(lambda: list(lab.project.glob(".autoresearch/*/runs/r0001/a1/start.json")), "the launch")
    wait_until(lambda: shell.states() == ["running"], "the run runs")
    pid = daemon_of(shell)
    assert os.getsid(pid) != process.pid
    kill_session(process.pid)
    process.wait(DEADLINE_S)
    assert shell.states() == ["running"]
    shell.release()
    judged_once(shell, "r0001")
    assert daemon_of(shell) == pid
    assert shell.json("daemon", "stop")["pid"] == pid


@pytest.mark.parametrize("again", times(4, 1))
def test_a_client_killed_while_it_starts_the_daemon_is_in_nobodys_way(lab: Lab, again: int) -> None:
    shell = Shell(lab)
    for part in range(6):
        process = shell_line(shell, "arctl daemon start")
        time.sleep(0.06 * (part + again / 4))  # not a wait: the moment of the kill
        kill_session(process.pid)
        process.wait(DEADLINE_S)
    pid = shell.json("daemon", "start")["pid"]
    wait_until(lambda: serving(lab) == [pid], "one daemon (a fork of it bears its command line for a moment)")
    shell("daemon", "stop")


def serving(lab: Lab) -> list[int]:
    return [pid for pid in lab.processes() if b"serve" in cmdline(pid)]


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_clients_that_meet_a_daemon_which_ends_wait_for_its_end_and_start_one(shell: Shell) -> None:
    """No start is tried in vain: those would all be in daemon.stderr."""
    pid = daemon_of(shell)
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGTERM)  # pending until it goes on: it lives, and ends as soon as it may
    (shell.lab.home / "daemon.json").unlink()
    (shell.lab.runtime / "ardaemon/control.sock").unlink()
    clients = [shell.start("queue") for _ in range(3)]
    said = [wait_until(client.stderr.readline, "a word") for client in clients if client.stderr is not None]
    assert all(word.startswith("waiting for ") for word in said), said
    os.kill(pid, signal.SIGCONT)
    assert [shell.end(client)[0] for client in clients] == [0, 0, 0]
    assert daemon_of(shell) != pid
    assert (shell.lab.home / "daemon.stderr").read_text() == ""


# --- requests that do not end, readers that do not read ---


def test_half_a_request_and_then_gone_leaves_nothing(lab: Lab) -> None:
    lab.start()
    lab.call("daemon.info")
    before = usage(lab.pid)
    for number in range(300):
        client = lab.rpc()
        client.send_raw(
            b'{"jsonrpc": "2.0", "method": "run.submit", "id": 1, "params": {"x": "' + b"x" * 5000
        )
        if number % 2:
            client.sock.shutdown(1)
        client.close()
    lab.clients.clear()
    assert lab.call("daemon.info")["active"] == 0
    back_to(lab.pid, before)
    assert faults(lab) == []


def test_half_a_request_and_then_silence_is_cut_off_with_an_error(lab: Lab) -> None:
    """Also where an answer is owed that is a long way off."""
    impatient(lab)
    lab.init()
    lab.session()
    lab.write(UNTIL_TOLD.format(go=str(lab.root / "go"), value=1))
    run_id = lab.submit()["run_id"]
    lab.wait(run_id, until="launched")
    before = usage(lab.pid)
    where = {"project": str(lab.project), "expr": SLUG, "run_id": run_id}
    wait = json.dumps({"jsonrpc": "2.0", "method": "run.wait", "params": where, "id": 1}).encode()

    def half() -> None:
        clients = [lab.rpc() for _ in range(100)]
        for client in clients:
            client.send_raw(wait + b'\n{"half": "' + b"x" * 100_000)
        for client in clients:
            assert "not finished in 1 s" in client.receive()["error"]["message"]
            assert client.receive() is None
        lab.close_clients()

    comes_to_rest(lab.pid, before, half, 2)
    (lab.root / "go").touch()
    assert lab.wait(run_id)["result"]["verdict"] == "advance"


def flood(client: Rpc, line: bytes) -> None:
    """As many requests as the socket takes; none of the answers is read."""
    client.sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        for _ in range(100):
            client.sock.send(line * REQUESTS_PER_CONNECTION)


def deaf(lab: Lab, count: int, line: bytes) -> None:
    clients = [lab.rpc() for _ in range(count)]
    for client in clients:
        assert client.call("daemon.info")["pid"] == lab.pid  # it is accepted
    assert connections(lab.pid) > count  # each is seen
    for client in clients:
        flood(client, line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc": "2.0", "method": "rpc.discover", "id": 1}\n',
        b"[" + b",".join([b'{"jsonrpc": "2.0", "method": "rpc.discover", "id": 1}'] * 64) + b"]\n",
        b"nonsense\n",
    ],
    ids=["requests", "batches", "errors"],
)
def test_readers_that_never_read_are_dropped_and_cost_a_bounded_amount(lab: Lab, line: bytes) -> None:
    impatient(lab)
    lab.call("rpc.discover")
    cold, sockets = usage(lab.pid), connections(lab.pid)

    def flooded() -> None:
        deaf(lab, 12, line)
        while connections(lab.pid) > sockets:
            assert served_s(lab.pid, lambda: lab.call("daemon.info")) < PROMPT_S
            assert usage(lab.pid).memory < cold.memory + FLOOD_MAX
        lab.close_clients()

    comes_to_rest(lab.pid, cold, flooded, len(times(6, 2)))
    assert faults(lab) == []


@pytest.mark.timeout(180)
def test_a_subscriber_and_a_follower_that_never_read_are_dropped(lab: Lab) -> None:
    impatient(lab)
    lab.init()
    lab.session(seconds=150)
    before, sockets = usage(lab.pid), connections(lab.pid)
    lab.write(
        f"import os, time\nwhile not os.path.exists({str(lab.root / 'speak')!r}):\n    time.sleep(0.02)\n"
        "for n in range(40):\n    print('x' * 100_000, flush=True)\n    time.sleep(0.005)\n"
        f"while not os.path.exists({str(lab.root / 'go')!r}):\n    time.sleep(0.02)\nprint('val/loss: 1')\n"
    )
    run_id = lab.submit()["run_id"]
    where = {"project": str(lab.project), "expr": SLUG, "run_id": run_id}
    follow = {"jsonrpc": "2.0", "method": "run.tail", "params": {**where, "follow": True}, "id": 1}
    for request in [follow] * 8 + [{"jsonrpc": "2.0", "method": "events.subscribe", "id": 1}] * 8:
        client = lab.rpc()
        client.send_raw(json.dumps(request).encode() + b"\n" + SENTINEL)
        while client.receive().get("id") != "sentinel":  # the last that is read of it
            pass
    # The job says 4 MB to each follower, which reads none of it.
    (lab.root / "speak").touch()
    wait_until(lambda: connections(lab.pid) <= sockets + 8, "the followers are dropped")
    for _ in range(120):  # more events than the socket's buffer holds
        lab.get("run.cancel", run_id=lab.submit()["run_id"])
    wait_until(lambda: connections(lab.pid) <= sockets, "the subscribers are dropped")
    (lab.root / "go").touch()
    assert lab.wait(run_id)["result"]["verdict"] == "advance"
    assert usage(lab.pid).memory < before.memory + FLOOD_MAX
    assert faults(lab) == []


# --- many ---


REQUESTS = ("daemon.info", "queue.list", "status.get", "run.list", "session.get")


def burst(lab: Lab, count: int) -> int:
    """`count` clients at once, each with all of REQUESTS; how many results came."""
    clients = [lab.rpc() for _ in range(count)]
    where = {"project": str(lab.project), "expr": SLUG}
    for client in clients:
        for name in REQUESTS:
            params = {} if name in ("daemon.info", "queue.list") else where
            request = {"jsonrpc": "2.0", "method": name, "params": params, "id": name}
            client.send_raw(json.dumps(request).encode() + b"\n")
    found = 0
    for client in clients:
        answers = {answer["id"]: answer for answer in (client.receive() for _ in REQUESTS)}
        assert answers.keys() == set(REQUESTS)
        found += sum("result" in answer for answer in answers.values())
    lab.close_clients()
    return found


def slowest(lab: Lab, path: str, over: Callable[[], bool]) -> float:
    """The longest that one more client waits for its answer, meanwhile."""
    client, longest = Rpc(path), 0.0
    params = {"project": str(lab.project), "expr": SLUG}
    while True:
        longest = max(longest, served_s(lab.pid, lambda: client.call("status.get", **params)))
        if over():
            client.close()
            return longest


def test_two_hundred_clients_at_once_are_served_and_another_one_hardly_waits(
    lab: Lab, record_property: Callable[[str, Any], None]
) -> None:
    lab.ready()
    lab.tried(1.0)
    burst(lab, 200)
    before, path = usage(lab.pid), lab.call("daemon.info")["socket"]
    rounds = times(30, 2)
    record_property("cases", 200 * len(rounds))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: [burst(lab, 200) for _ in rounds])
        longest = slowest(lab, path, asked.done)
        assert asked.result() == [200 * len(REQUESTS)] * len(rounds)
    assert longest < PROMPT_S
    back_to(lab.pid, before)
    assert faults(lab) == []


@pytest.mark.parametrize("half_closed", [False, True], ids=["open", "half-closed"])
def test_two_hundred_clients_that_wait_for_one_run_all_get_its_verdict_and_those_that_leave_do_not_end_it(
    lab: Lab, half_closed: bool
) -> None:
    """Also those that said at once that they send no more (shutdown(2)), as pipes into a socket do."""
    lab.ready()
    go = lab.root / "go"
    lab.write(UNTIL_TOLD.format(go=str(go), value=1))
    run_id = lab.submit()["run_id"]
    lab.wait(run_id, until="launched")
    before = usage(lab.pid)
    where = {"project": str(lab.project), "expr": SLUG, "run_id": run_id}
    clients = [lab.rpc() for _ in range(200)]
    for number, client in enumerate(clients):
        request = {"jsonrpc": "2.0", "method": "run.wait", "params": where, "id": number}
        client.send_raw(json.dumps(request).encode() + b"\n")
        if half_closed:
            client.sock.shutdown(socket.SHUT_WR)
    each = 1 + half_closed  # its socket, and what tells that it has hung up
    waiting = before.descriptors + 200 * each - 6  # some of those before are given back meanwhile
    wait_until(lambda: usage(lab.pid).descriptors >= waiting, "all wait")
    for client in clients[::2]:
        client.close()
    lab.clients = clients[1::2]
    gone = before.descriptors + 100 * each + 6  # as in back_to
    wait_until(lambda: usage(lab.pid).descriptors <= gone, "half of them gone")
    assert lab.get("run.get", run_id=run_id)["state"] == "running"
    go.touch()
    assert {client.receive()["result"]["result"]["verdict"] for client in lab.clients} == {"advance"}
    if half_closed:
        assert {client.receive() for client in lab.clients} == {None}  # the daemon hangs up, too
    lab.close_clients()
    back_to(lab.pid, before)
    assert faults(lab) == []


def test_all_is_answered_that_was_asked_before_the_client_stopped_sending(lab: Lab) -> None:
    """As `printf … | socat - UNIX-CONNECT:…` does; what was not asked in full is not asked."""
    lab.ready()
    where = {"project": str(lab.project), "expr": SLUG}
    submission = {**where, "submit_id": "1", "environment": lab.environment}
    asked = [("daemon.info", {}), ("run.submit", submission), ("run.list", where), ("rpc.discover", {})]
    requests = [
        {"jsonrpc": "2.0", "method": method, "params": params, "id": number}
        for number, (method, params) in enumerate(asked)
    ]
    lines = [json.dumps(request).encode() for request in [*requests, requests]]
    client = lab.rpc()
    client.send_raw(b"\n".join(lines) + b'\n{"jsonrpc": "2.0", "method": "daemon.stop"}')
    client.sock.shutdown(socket.SHUT_WR)
    answers = [json.loads(line) for line in client.file]
    alone = {answer["id"]: answer for answer in answers if isinstance(answer, dict)}
    (batch,) = [{one["id"]: one for one in answer} for answer in answers if isinstance(answer, list)]
    for found in (alone, batch):
        assert sorted(found) == list(range(len(asked)))
        assert all("result" in answer for answer in found.values()), found
    assert {found[1]["result"]["run_id"] for found in (alone, batch)} == {"r0001"}
    assert lab.wait("r0001")["result"]["verdict"] == "advance"


def test_clients_that_connect_and_wait_for_ever_are_left_in_peace(lab: Lab) -> None:
    """They owe nothing: a run is made beside them, and each is served when it asks at last."""
    impatient(lab)
    lab.init()
    lab.session()
    lab.tried(1.0)
    before = usage(lab.pid)
    idle = [lab.rpc() for _ in range(200)]
    waiting = usage(lab.pid)
    for value in (0.9, 0.8):
        assert lab.tried(value)["verdict"] == "advance"
    time.sleep(1.2)  # longer than request_timeout and send_timeout: nothing happens, and that is the point
    with selectors.DefaultSelector() as selector:
        for client in idle:
            selector.register(client.sock, selectors.EVENT_READ)
        assert selector.select(0) == []
    assert waiting.memory - before.memory < 200 * (64 << 10)
    assert [client.call("daemon.info")["pid"] for client in idle] == [lab.pid] * 200
    lab.close_clients()
    back_to(lab.pid, before)
