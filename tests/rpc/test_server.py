"""The socket: who may connect, what is cut off, and that one client never hurts another."""

import contextlib
import json
import os
import resource
import select
import signal
import stat
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ardaemon.core.config import CONNECTIONS_MAX, FRAME_MAX, HALF_FRAME_S, ID_MAX, REQUESTS_PER_CONNECTION
from ardaemon.core.errors import INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, Overloaded
from ardaemon.core.methods import METHODS
from tests.support import lab as labs
from tests.support.jobs import parked_of
from tests.support.lab import DEADLINE_S, SLUG, Lab, Rpc, wait_until
from tests.support.look import into
from tests.support.machine import configured
from tests.support.wire import SENTINEL, code_of, exchange, faults

# Trains until the file `go` appears in the experiment's folder.
UNTIL_TOLD = (
    "import os, time\n"
    "while not os.path.exists(os.environ['AR_EXPR_DIR'] + '/go'):\n"
    "    time.sleep(0.01)\n"
    "print('val/loss: 1')\n"
)
INFO = b'{"jsonrpc": "2.0", "method": "daemon.info", "id": 1}\n'


def serve(lab: Lab, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A daemon that is expected to end at once; its word on the ready descriptor comes as stdout."""
    return subprocess.run(
        [sys.executable, "-m", "ardaemon", "serve", "--ready-fd", "1"],
        env={**lab.environment, **environment},
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )


def descriptors(pid: int) -> int:
    return len(os.listdir(into(pid) / "fd"))


@contextlib.contextmanager
def connected(lab: Lab, count: int) -> Iterator[list[Rpc]]:
    clients = [lab.rpc() for _ in range(count)]
    yield clients
    lab.close_clients()


# --- the socket and the single instance ---


@pytest.mark.promise("socket-private")
@pytest.mark.parametrize("mask", [0, 0o077, 0o777])
def test_the_socket_is_the_owners_alone_whatever_the_umask(lab: Lab, mask: int) -> None:
    (lab.root / "stderr").touch()
    before = os.umask(mask)
    try:
        lab.start()
    finally:
        os.umask(before)
    path = Path(lab.call("daemon.info")["socket"])
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(lab.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((lab.home / "active").stat().st_mode) == 0o700


@pytest.mark.promise("one-daemon")
def test_a_second_instance_refuses_and_leaves_the_first_alone(lab: Lab) -> None:
    lab.start()
    second = serve(lab)
    assert (second.returncode, second.stdout) == (69, b"running\n")
    assert b"another instance" in second.stderr
    assert lab.call("daemon.info")["pid"] == lab.pid


@pytest.mark.promise("one-daemon")
def test_a_stale_socket_of_a_killed_daemon_is_replaced(lab: Lab) -> None:
    lab.start()
    path = Path(lab.call("daemon.info")["socket"])
    lab.kill()
    assert path.exists()
    lab.start()
    assert lab.call("daemon.info")["pid"] == lab.pid


def test_a_clean_stop_leaves_no_socket_and_no_daemon_json(lab: Lab) -> None:
    lab.start()
    path = Path(lab.call("daemon.info")["socket"])
    assert lab.call("daemon.stop")["ok"]
    assert lab.process is not None
    assert lab.process.wait(DEADLINE_S) == 0
    assert not path.exists()
    assert not (lab.home / "daemon.json").exists()


@pytest.mark.promise("socket-private")
def test_a_runtime_folder_open_to_others_is_refused_by_name(lab: Lab) -> None:
    (lab.runtime / "ardaemon").mkdir(mode=0o755)
    ended = serve(lab)
    assert ended.returncode == 74
    assert ended.stdout.startswith(b"error: ")
    assert str(lab.runtime / "ardaemon").encode() in ended.stdout


# --- frames ---


def test_a_frame_of_one_mib_is_served_and_a_longer_one_cut_off_with_an_error(lab: Lab) -> None:
    client = lab.start().rpc()
    line = INFO.rstrip()
    assert exchange(client, line + b" " * (FRAME_MAX - len(line)))["id"] == 1
    for ending in (b"\n", b""):
        client = lab.rpc()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.send_raw(line + b" " * (FRAME_MAX - len(line) + 1) + ending)
        answer = client.receive()
        assert (code_of(answer), answer["id"]) == (INVALID_REQUEST, None)
        assert str(FRAME_MAX) in answer["error"]["message"]
        with contextlib.suppress(ConnectionResetError):
            assert client.receive() is None
    assert faults(lab) == []


@pytest.mark.promise("clients-die")
def test_half_a_request_is_cut_off_after_its_time_whether_it_stops_or_trickles(lab: Lab) -> None:
    silent, trickling, idle = (lab.start().rpc() if n == 0 else lab.rpc() for n in range(3))
    assert exchange(trickling, INFO.rstrip())["id"] == 1
    begun = time.monotonic()
    silent.send_raw(INFO[:20])
    trickling.send_raw(b"[")
    trickling.sock.settimeout(0.2)
    answer = None
    while answer is None:
        with contextlib.suppress(TimeoutError):
            answer = trickling.sock.recv(4096)
            break
        with contextlib.suppress(BrokenPipeError):  # it is cut off: the answer is there by now
            trickling.sock.sendall(b" ")
        assert time.monotonic() - begun < HALF_FRAME_S + DEADLINE_S
    assert time.monotonic() - begun > HALF_FRAME_S - 1
    assert answer is not None
    for cut in (json.loads(answer), silent.receive()):
        assert (code_of(cut), cut["id"]) == (INVALID_REQUEST, None)
    assert silent.receive() is None
    assert exchange(idle, INFO.rstrip())["id"] == 1, "a connection that owes nothing stays"


# --- many at once ---


def is_connected(client: Rpc) -> bool:
    """Has the daemon not closed this connection, whatever lies on it unread?"""
    poll = select.poll()
    poll.register(client.sock, select.POLLHUP)
    return not poll.poll(0)


def test_requests_on_one_connection_run_concurrently(lab: Lab) -> None:
    lab.ready().write(UNTIL_TOLD)
    run_id = lab.submit()["run_id"]
    client = lab.rpc()
    where = {"project": str(lab.project), "expr": SLUG, "run_id": run_id}
    wait = {"jsonrpc": "2.0", "method": "run.wait", "params": where, "id": "wait"}
    client.send_raw(json.dumps(wait).encode() + b"\n" + INFO)
    assert client.receive()["id"] == 1
    (lab.folder / "go").touch()
    answer = client.receive()
    assert (answer["id"], answer["result"]["state"]) == ("wait", "committed")


@pytest.mark.promise("clients-die")
def test_a_client_that_goes_away_in_a_wait_does_not_touch_the_run(lab: Lab) -> None:
    lab.ready().write(UNTIL_TOLD)
    run_id = lab.submit()["run_id"]
    lab.wait(run_id, until="launched")
    client = lab.rpc()
    where = {"project": str(lab.project), "expr": SLUG, "run_id": run_id}
    wait = {"jsonrpc": "2.0", "method": "run.wait", "params": where, "id": "wait"}
    client.send_raw(json.dumps(wait).encode() + b"\n" + INFO)
    assert client.receive()["id"] == 1, "the wait before it was read too"
    client.close()
    lab.clients.remove(client)
    assert lab.get("run.get", run_id=run_id)["state"] == "running"
    (lab.folder / "go").touch()
    assert lab.wait(run_id)["result"]["status"] == "ok"
    assert faults(lab) == []


@pytest.mark.promise("clients-die")
def test_two_hundred_connections_at_once_are_all_served(lab: Lab) -> None:
    lab.start()
    with connected(lab, 200) as clients:
        for number, client in enumerate(clients):
            client.send_raw(INFO.replace(b"1}", b"%d}" % number))
        assert [client.receive()["id"] for client in clients] == list(range(200))
    assert faults(lab) == []


@pytest.mark.promise("clients-die")
def test_a_reader_that_never_reads_does_not_hurt_others(lab: Lab) -> None:
    configured(lab, "send_timeout = 600\n")
    lab.start()
    flood = b'{"jsonrpc": "2.0", "method": "rpc.discover", "id": 1}\n' * REQUESTS_PER_CONNECTION
    deaf = lab.rpc()
    deaf.sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        for _ in range(200):
            deaf.sock.send(flood)
    for _ in range(20):
        assert lab.call("daemon.info")["pid"] == lab.pid
    assert is_connected(deaf), "it is not dropped yet: nobody waited for it to read"


@pytest.mark.promise("clients-die")
def test_more_requests_in_flight_than_the_limit_are_refused_but_for_notifications(lab: Lab) -> None:
    lab.ready().write(UNTIL_TOLD)
    lab.submit()
    client = lab.rpc()
    where = {"project": str(lab.project), "expr": SLUG}
    for number in range(REQUESTS_PER_CONNECTION):
        wait = {"jsonrpc": "2.0", "method": "run.wait", "params": where, "id": number}
        client.send_raw(json.dumps(wait).encode() + b"\n")
    client.send_raw(b'{"jsonrpc": "2.0", "method": "daemon.info"}\n' + SENTINEL)
    refusal = client.receive()
    assert (code_of(refusal), refusal["id"]) == (Overloaded.code, "sentinel")
    (lab.folder / "go").touch()
    ids = {client.receive()["id"] for _ in range(REQUESTS_PER_CONNECTION)}
    assert ids == set(range(REQUESTS_PER_CONNECTION))


def test_each_request_of_a_batch_counts_as_one_in_flight(lab: Lab) -> None:
    """A batch beyond the limit is refused as a whole; one of notifications alone is never answered."""
    lab.ready().write(UNTIL_TOLD)
    lab.submit()
    client = lab.rpc()
    where = {"project": str(lab.project), "expr": SLUG}
    wait = {"jsonrpc": "2.0", "method": "run.wait", "params": where}
    batch = [{**wait, "id": number} for number in range(REQUESTS_PER_CONNECTION // 2)]
    client.send_raw(json.dumps(batch).encode() + b"\n")
    notifications = [wait] * REQUESTS_PER_CONNECTION
    client.send_raw(
        json.dumps(notifications).encode() + b"\n" + json.dumps([*batch, *batch[:1]]).encode() + b"\n"
    )
    refusal = client.receive()
    assert (code_of(refusal), refusal["id"]) == (Overloaded.code, None)
    assert exchange(client, SENTINEL.rstrip())["id"] == "sentinel"
    (lab.folder / "go").touch()
    assert [answer["id"] for answer in client.receive()] == list(range(REQUESTS_PER_CONNECTION // 2))


@pytest.mark.promise("clients-die")
def test_a_connection_over_the_limit_is_told_so_and_the_daemon_lives(lab: Lab) -> None:
    """A client that is gone before it can be told must not hurt either."""
    lab.start()
    with connected(lab, CONNECTIONS_MAX) as clients:
        assert exchange(clients[-1], INFO.rstrip())["id"] == 1
        refused = lab.rpc()
        answer = refused.receive()
        assert (code_of(answer), answer["id"]) == (Overloaded.code, None)
        assert refused.receive() is None
        for _ in range(50):
            gone = lab.rpc()
            gone.close()
            lab.clients.remove(gone)
        assert exchange(clients[0], INFO.rstrip())["id"] == 1
    wait_until(lambda: answered(lab), "a free place again")
    assert faults(lab) == []


def answered(lab: Lab) -> bool:
    client = lab.rpc()
    try:
        client.send_raw(INFO)
        answer = client.receive()
        return answer is not None and "result" in answer
    except (BrokenPipeError, ConnectionResetError):
        return False
    finally:
        client.close()
        lab.clients.remove(client)


@pytest.mark.promise("clients-die")
def test_a_daemon_out_of_file_descriptors_lives_and_serves_again(lab: Lab) -> None:
    lab.forges_helpers = False  # a shim's socket is no client's
    lab.start()
    parked_of(lab)  # before that more are still being opened
    before = resource.prlimit(lab.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(lab.pid, resource.RLIMIT_NOFILE, (descriptors(lab.pid) + 5, before[1]))
    with connected(lab, 20):
        wait_until(lambda: lab.events("accept failed"), "a refused accept in the log")
    resource.prlimit(lab.pid, resource.RLIMIT_NOFILE, before)
    assert lab.call("daemon.info")["pid"] == lab.pid


@pytest.mark.promise("clients-die")
def test_connections_leave_no_descriptor_behind(lab: Lab) -> None:
    lab.forges_helpers = False
    lab.start()
    lab.call("daemon.info")
    parked_of(lab)  # before that more are still being opened
    before = descriptors(lab.pid)
    with connected(lab, 50) as clients:
        for client in clients:
            client.send_raw(b'{"half": ')
    wait_until(lambda: descriptors(lab.pid) <= before, "all descriptors given back")


def test_sigterm_ends_it_with_clients_connected_and_waiting(lab: Lab) -> None:
    lab.ready().write(UNTIL_TOLD)
    lab.submit()
    client = lab.rpc()
    wait = {"jsonrpc": "2.0", "method": "run.wait", "id": 1}
    wait["params"] = {"project": str(lab.project), "expr": SLUG}
    client.send_raw(json.dumps(wait).encode() + b"\n")
    os.kill(lab.pid, signal.SIGTERM)
    assert lab.process is not None
    assert lab.process.wait(DEADLINE_S) == 0
    assert faults(lab) == []


# --- fuzzing ---


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Lab]:
    """One daemon for all that is thrown at it; afterwards it lives, and its log holds no fault."""
    world = labs.make()
    try:
        world.start().init()
        yield world
        assert world.call("daemon.info")["pid"] == world.pid
        assert faults(world) == []
    finally:
        world.close()


FUZZ = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
# Those that stop the daemon or answer only at the end of the world.
UNFUZZED = {"daemon.stop", "events.subscribe"}
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["/", "/\0", "..", "r0001", SLUG, "/" + "a" * 300, "/" + "b/" * 3000]
)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def sent(lab: Lab, line: bytes) -> Any:
    """The one answer to `line`, None where none is due; the connection must go on after it."""
    client = lab.rpc()
    try:
        answer = None
        if line.strip():
            answer = exchange(client, line)
        else:
            client.send_raw(line + b"\n")
        assert exchange(client, SENTINEL.rstrip())["id"] == "sentinel"
        return answer
    finally:
        client.close()
        lab.clients.remove(client)


@pytest.mark.promise("protocol-fuzz")
@FUZZ
@given(line=st.binary(max_size=200).map(lambda data: data.replace(b"\n", b"")))
def test_any_bytes_get_one_error_or_are_blank(fuzzed: Lab, line: bytes) -> None:
    answer = sent(fuzzed, line)
    for part in answer if isinstance(answer, list) else [answer] if line.strip() else []:
        assert code_of(part) in (PARSE_ERROR, INVALID_REQUEST)


@pytest.mark.promise("protocol-fuzz")
@FUZZ
@given(value=VALUES)
def test_any_json_that_is_no_request_gets_as_many_errors_as_it_has_parts(fuzzed: Lab, value: Any) -> None:
    line = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    answer = sent(fuzzed, line)
    if isinstance(value, list) and value:
        assert [code_of(part) for part in answer] == [INVALID_REQUEST] * len(value)
    else:
        assert code_of(answer) in (PARSE_ERROR, INVALID_REQUEST)


@pytest.mark.promise("protocol-fuzz")
@FUZZ
@given(
    method=st.sampled_from(sorted(set(METHODS) - UNFUZZED)) | TEXTS,
    params=st.dictionaries(TEXTS, VALUES, max_size=3) | st.lists(VALUES, max_size=4),
    identity=st.integers() | TEXTS.filter(lambda text: text != "sentinel"),
)
def test_any_method_with_any_parameters_is_answered_once_with_its_id(
    fuzzed: Lab, method: str, params: Any, identity: Any
) -> None:
    request = {"jsonrpc": "2.0", "method": method, "params": params, "id": identity}
    client = fuzzed.rpc()
    try:
        answer = exchange(client, json.dumps(request).encode())
    finally:
        client.close()
        fuzzed.clients.remove(client)
    if len(str(identity).encode()) > ID_MAX:
        assert (code_of(answer), answer["id"]) == (INVALID_REQUEST, None)
        return
    assert answer["id"] == identity
    if "error" in answer:
        assert code_of(answer) != INTERNAL_ERROR
        assert method in METHODS or code_of(answer) == METHOD_NOT_FOUND


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "project": TEXTS,
    "expr": st.none() | TEXTS,
    "run_id": st.none() | TEXTS,
    "submit_id": TEXTS,
    "slug": TEXTS,
    "environment": st.dictionaries(TEXTS, TEXTS, max_size=3),
    "settings": st.fixed_dictionaries({"seconds": NUMBERS}, optional={"runner": TEXTS, "settle": NUMBERS}),
    "timeout": st.just(0),
    "lines": st.integers(-(2**63), 2**63),
    "last": st.integers(-(2**63), 2**63),
    "chain": st.integers(),
    **dict.fromkeys(("source", "train", "prepare", "program", "primary_metric", "goal", "note"), TEXTS),
    **{name: st.lists(TEXTS, max_size=2) for name in ("constraints", "seal", "add")},
}


@pytest.mark.promise("protocol-fuzz")
@FUZZ
@given(data=st.data(), method=st.sampled_from(sorted(set(METHODS) - UNFUZZED - {"session.stop"})))
def test_well_typed_parameters_that_make_no_sense_never_reach_a_fault(
    fuzzed: Lab, data: st.DataObject, method: str
) -> None:
    names = [name for name in METHODS[method].params.__struct_fields__ if name in FIELDS]
    params = {name: data.draw(FIELDS[name], name) for name in names}
    if "project" in params and data.draw(st.booleans(), "the real project"):
        params["project"] = str(fuzzed.project)
    request = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
    answer = sent(fuzzed, json.dumps(request).encode())
    assert answer["id"] == 1
    assert "result" in answer or code_of(answer) != INTERNAL_ERROR, (method, params, answer)


@pytest.mark.promise("protocol-fuzz")
@FUZZ
@given(
    pieces=st.lists(st.sampled_from([*string.punctuation, '"id"', "1", ":", "{", "}", INFO.decode().strip()]))
)
def test_pieces_of_json_put_together_anyhow_are_answered_once(fuzzed: Lab, pieces: list[str]) -> None:
    line = "".join(pieces).encode()
    answer = sent(fuzzed, line)
    assert (answer is not None) == bool(line.strip())
