"""What clients cost the daemon in memory, however much they send and however little they read."""

import contextlib
import json
import re
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.config import (
    CLIENTS_BYTES,
    CONNECTION_BYTES,
    CONNECTIONS_MAX,
    FRAME_MAX,
    ID_MAX,
    OWN_BYTES,
    REQUEST_BYTES,
    REQUESTS_PER_CONNECTION,
    Config,
)
from ardaemon.core.errors import INVALID_REQUEST, Overloaded
from ardaemon.core.live_config import LiveConfig
from ardaemon.rpc.budget import Budget, Share
from ardaemon.rpc.connection import ClientConnection
from tests.support.lab import DEADLINE_S, Lab, Rpc
from tests.support.wire import SENTINEL, code_of, exchange

pytestmark = pytest.mark.promise("clients-die")

PIECE = 1_000_000  # bytes: a line that is just allowed
A_FEW = 24 << 20  # bytes: buffers, and what the allocator keeps of them


@pytest.fixture
def daemon(lab: Lab) -> Iterator[Lab]:
    lab.start()
    lab.call("daemon.info")  # what is loaded late is there
    yield lab
    assert lab.call("daemon.info")["pid"] == lab.pid


def resident(lab: Lab) -> int:
    """The bytes of the daemon that are in memory."""
    status = Path(f"/proc/{lab.pid}/status").read_text()
    (kib,) = re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(kib) << 10


def waiting(size: int, identity: Any) -> bytes:
    """A request of that size that is not answered as long as the client stays."""
    line = json.dumps({"jsonrpc": "2.0", "id": identity, "method": "events.subscribe"}).encode()
    return line + b" " * (size - len(line) - 1) + b"\n"


def _first(client: Rpc, data: bytes) -> Any:
    """The first answer to these bytes, of which the daemon perhaps reads a part alone."""
    client.sock.settimeout(DEADLINE_S)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # also where it was to be sent more
        client.send_raw(data)
    return client.receive()


def refused(client: Rpc, data: bytes) -> Any:
    """The error with which the daemon hangs up while it is sent these bytes."""
    refusal = _first(client, data)
    assert (code_of(refusal), refusal["id"]) == (Overloaded.code, None)
    return refusal


def read_all(client: Rpc) -> None:
    """What the client has sent is read, for what comes after it is answered."""
    answer = exchange(client, SENTINEL.rstrip())
    while answer["id"] != "sentinel":
        answer = client.receive()


def test_the_line_of_a_request_is_not_kept_while_the_request_waits(daemon: Lab) -> None:
    before = resident(daemon)
    for _ in range(4):
        client = daemon.rpc()
        for number in range(CONNECTION_BYTES // PIECE - 1):
            client.send_raw(waiting(PIECE, number))
        read_all(client)
    assert resident(daemon) - before < A_FEW


def test_the_last_line_is_not_kept_while_the_connection_is_idle(daemon: Lab) -> None:
    before = resident(daemon)
    for number in range(64):
        daemon.rpc().send_raw(waiting(PIECE, number))
    for client in daemon.clients:
        client.send_raw(SENTINEL)
    assert all(client.receive() for client in daemon.clients)
    assert resident(daemon) - before < A_FEW


@pytest.mark.parametrize("identity", ["x" * ID_MAX, "ü" * (ID_MAX // 2), int("9" * ID_MAX)])
def test_an_id_of_the_greatest_length_comes_back(daemon: Lab, identity: Any) -> None:
    request = {"jsonrpc": "2.0", "id": identity, "method": "daemon.info"}
    assert exchange(daemon.rpc(), json.dumps(request))["id"] == identity


@pytest.mark.parametrize("identity", ["x" * (ID_MAX + 1), "ü" * ID_MAX, int("9" * (ID_MAX + 1)), "x" * PIECE])
def test_a_longer_id_is_an_invalid_request(daemon: Lab, identity: Any) -> None:
    answer = exchange(daemon.rpc(), json.dumps({"jsonrpc": "2.0", "id": identity, "method": "daemon.info"}))
    assert (code_of(answer), answer["id"]) == (INVALID_REQUEST, None)
    assert f"at most {ID_MAX} bytes" in answer["error"]["message"]


def test_a_connection_has_a_budget_of_bytes_and_others_are_served(daemon: Lab) -> None:
    client = daemon.rpc()
    for number in range(CONNECTION_BYTES // PIECE):
        client.send_raw(waiting(PIECE, number))
    read_all(client)
    assert "read the answers" in refused(client, waiting(PIECE, "more"))["error"]["data"]["mend"]
    other = daemon.rpc()
    other.send_raw(waiting(PIECE, 0))
    assert other.call("daemon.info")["pid"] == daemon.pid


def test_all_connections_together_have_a_budget_and_each_is_served_within_what_is_its_own(
    daemon: Lab,
) -> None:
    """A line that has come in part counts as well. What a client had is free once it is gone."""
    held = 0
    while "result" in (answer := _first(daemon.rpc(), waiting(PIECE, held) + SENTINEL)):
        held += 1
    assert code_of(answer) == Overloaded.code
    assert 0.9 * CLIENTS_BYTES < held * PIECE <= CLIENTS_BYTES
    refused(daemon.rpc(), waiting(PIECE, "late"))
    refused(daemon.rpc(), b"{" * PIECE)
    assert daemon.call("daemon.info")["pid"] == daemon.pid
    daemon.close_clients()
    again = daemon.rpc()
    again.send_raw(waiting(PIECE, "again"))
    assert again.call("daemon.info")["pid"] == daemon.pid


def test_requests_that_wait_count_with_their_tasks(daemon: Lab) -> None:
    """However short: a batch as each of its parts."""
    before = resident(daemon)
    call = {"jsonrpc": "2.0", "id": 1, "method": "events.subscribe"}
    batch = json.dumps([call] * REQUESTS_PER_CONNECTION).encode() + b"\n"
    fit = CLIENTS_BYTES // (REQUEST_BYTES * REQUESTS_PER_CONNECTION + len(batch))
    for _ in range(fit):
        daemon.rpc().send_raw(batch)
    daemon.call("daemon.info")
    for client in daemon.clients:
        client.sock.settimeout(0)
        with pytest.raises(BlockingIOError):  # it waits for its answers
            client.sock.recv(1)
    refusals = [_first(daemon.rpc(), batch) for _ in range(fit)]
    assert {(code_of(refusal), refusal["id"]) for refusal in refusals} == {(Overloaded.code, None)}
    assert resident(daemon) - before < CLIENTS_BYTES + A_FEW


def answers(client: Rpc) -> set[int | None]:
    """The codes of all errors that a client is answered, None for a result."""
    return {client.receive().get("error", {}).get("code") for _ in range(REQUESTS_PER_CONNECTION)}


def test_answers_that_nobody_reads_have_a_budget(daemon: Lab) -> None:
    question = b'{"jsonrpc": "2.0", "method": "rpc.discover", "id": 1}\n'
    size = len(json.dumps(exchange(daemon.rpc(), question.rstrip())))
    before = resident(daemon)
    deaf = [daemon.rpc() for _ in range(2 * CLIENTS_BYTES // (size * REQUESTS_PER_CONNECTION))]
    for client in deaf:
        client.send_raw(question * REQUESTS_PER_CONNECTION)
    assert daemon.call("daemon.info")["pid"] == daemon.pid
    assert resident(daemon) - before < CLIENTS_BYTES + A_FEW
    with ThreadPoolExecutor(len(deaf)) as threads:  # all at once: who does not read for SEND_S is dropped
        codes = list(threads.map(answers, deaf))
    assert set.union(*codes) == {None, Overloaded.code}
    assert "result" in exchange(deaf[-1], question.rstrip()), "what was read is free again"


def test_a_line_that_comes_byte_by_byte_is_not_copied_at_each_byte() -> None:
    """The allocations are measured, in this process: the time of a copy is no sure measure."""
    connection = ClientConnection(None, None, LiveConfig(Config()), Share(Budget()), lambda: None)  # type: ignore[arg-type]
    connection.buffer += b" " * PIECE
    tracemalloc.start()
    try:
        assert connection._whole_lines() == []
        assert tracemalloc.get_traced_memory()[1] < PIECE // 10
    finally:
        tracemalloc.stop()
    connection.buffer += b"\n\nrest"
    assert connection._whole_lines() == [b" " * PIECE, b""]
    assert connection.buffer == b"rest"


def test_the_budget_is_what_all_have_and_each_has_a_part_of_its_own() -> None:
    budget = Budget()
    shares = [Share(budget) for _ in range(CONNECTIONS_MAX)]
    for share in shares:
        while share.has_room(FRAME_MAX):
            share.hold(FRAME_MAX)
        assert share.held <= CONNECTION_BYTES
    assert budget.held == CLIENTS_BYTES
    for share in shares:
        if share.has_room(OWN_BYTES):
            share.hold(OWN_BYTES)
    assert budget.held < CLIENTS_BYTES + CONNECTIONS_MAX * OWN_BYTES
    assert not any(share.has_room(1) for share in shares)
    for share in shares:
        share.close()
    assert budget.held == 0
