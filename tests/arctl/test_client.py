"""The client's side of the socket: whose answer it is, how long it waits, what is left of what it gave up."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from arctl import client, connection, starter, stopper
from arctl.client import Client
from arctl.connection import Connection, ConnectionLost
from arctl.dial import Busy
from ardaemon.core import errors
from ardaemon.core.layout import Host
from tests.support.lab import Lab

SHORT_S = 1.0  # in the place of a minute: what is said and what is waited must agree
MARGIN_S = 3.0  # a heavily loaded machine with two cores
LARGE = "x" * (4 << 20)  # more than a socket's buffers hold


class Peer:
    """The other end of a connection, which says what the test has it say."""

    def __init__(self) -> None:
        self.socket, self.theirs = socket.socketpair()
        self.socket.settimeout(MARGIN_S * 10)

    def say(self, *messages: object) -> None:
        """Whole lines."""
        for message in messages:
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def request(self) -> Any:
        """The next request."""
        with self.socket.makefile("rb") as file:
            return json.loads(file.readline())

    def close(self) -> None:
        """Both ends."""
        self.socket.close()
        self.theirs.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    """One of them."""
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Peer]]:
    """What a Client connects to: the first at first, the second when it connects again."""
    made = [Peer(), Peer()]
    left = iter(made)
    monkeypatch.setattr(client, "connect", lambda again=False: next(left).theirs)
    yield made
    for one in made:
        one.close()


def error(identity: object, message: str) -> dict[str, Any]:
    """An answer that says no."""
    return {"jsonrpc": "2.0", "id": identity, "error": errors.Refused(message, "mend").wire()}


def result(identity: object, **facts: object) -> dict[str, Any]:
    """An answer."""
    return {"jsonrpc": "2.0", "id": identity, "result": facts}


# --- how long ---


@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("daemon.info", {}, "ANSWER_S"),
        ("run.submit", {}, "SLOW_ANSWER_S"),
        ("run.wait", {"timeout": 0.0}, "GRACE_S"),
        ("run.wait", {"timeout": 0.5}, "GRACE_S"),
    ],
)
@pytest.mark.parametrize("size", ["", LARGE], ids=["not answered", "not read"])
def test_the_time_that_is_said_is_the_time_that_was_waited(
    peer: Peer,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    params: dict[str, Any],
    name: str,
    size: str,
) -> None:
    waited = SHORT_S - params.get("timeout", 0.0)
    monkeypatch.setattr(connection, name, waited)
    begun = time.monotonic()
    with pytest.raises(errors.DaemonUnavailable) as caught:
        Connection(peer.theirs).call(method, **params, pad=size)
    assert SHORT_S - 0.1 < time.monotonic() - begun < SHORT_S + MARGIN_S
    assert f"within {SHORT_S:g} s" in caught.value.message
    assert method in caught.value.message
    assert ("read" if size else "answer") in caught.value.message


def test_a_wait_without_a_timeout_is_not_cut_short(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANSWER_S", "GRACE_S", "SLOW_ANSWER_S"):
        monkeypatch.setattr(connection, name, 0.1)
    threading.Timer(0.5, lambda: peer.say(result(1, state="committed"))).start()
    assert Connection(peer.theirs).call("run.wait") == {"state": "committed"}


# --- whose answer ---


@pytest.mark.parametrize("identity", [7, "1", 0, 1.5, True])
def test_an_answer_to_another_request_is_not_taken_for_ours(peer: Peer, identity: object) -> None:
    peer.say(error(identity, "another's"), result(identity, whose="another's"), result(1, whose="ours"))
    assert Connection(peer.theirs).call("daemon.info") == {"whose": "ours"}


def test_an_error_without_an_id_is_about_the_only_request_that_there_is(peer: Peer) -> None:
    """A request that the daemon could not read has no id; it closes the connection after its word."""
    peer.say(error(None, "a request is longer than 1 MiB"))
    peer.socket.shutdown(socket.SHUT_WR)
    with pytest.raises(errors.Refused, match="longer than 1 MiB"):
        Connection(peer.theirs).call("run.submit")


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b'[["id", 1], ["result", {}]]',
        b'"text"',
        b'{"id": 1}',
        b'{"id": 1, "result": null}',
        b'{"id": 1, "result": [["a", 1]]}',
        b'{"id": 1, "error": "text"}',
        b'{"method": "event", "params": [1]}\n{"id": 1, "result": {}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_an_error_that_names_the_daemon(peer: Peer, line: bytes) -> None:
    peer.socket.sendall(line + b"\n")
    with pytest.raises(errors.InternalError, match="the daemon sent"):
        Connection(peer.theirs).call("daemon.info")


def test_an_error_whose_data_is_another_servers_is_still_that_error(peer: Peer) -> None:
    peer.socket.sendall(b'{"id": 1, "error": {"code": -32602, "message": "no such thing", "data": [1]}}\n')
    with pytest.raises(errors.UsageError, match="no such thing"):
        Connection(peer.theirs).call("daemon.info")


# --- what is left of a call that was given up ---


def given_up_by_time(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> None:
    monkeypatch.setattr(connection, "ANSWER_S", 0.3)
    with pytest.raises(errors.DaemonUnavailable):
        call()


class Interrupted(BaseException):
    """As KeyboardInterrupt, of a signal that no shell sends."""


def given_up_by_a_signal(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    monkeypatch.setattr(connection, "ANSWER_S", 30.0)
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(Interrupted):
            call()
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("give_up", [given_up_by_time, given_up_by_a_signal])
@pytest.mark.parametrize("size", ["", LARGE], ids=["half an answer came", "half a request went"])
def test_a_connection_with_half_a_message_on_it_is_never_used_again(
    peers: list[Peer], give_up: Callable[[pytest.MonkeyPatch, Callable[[], object]], None], size: str
) -> None:
    first, second = peers
    late = json.dumps(error(1, "late")).encode()
    first.socket.sendall(late[:20])
    ours = Client()
    with pytest.MonkeyPatch.context() as patch:
        give_up(patch, lambda: ours.call("daemon.info", pad=size))
    second.say(result(1, whose="ours"))
    assert ours.call("daemon.info") == {"whose": "ours"}
    assert second.request()["params"] == {}
    ours.close()


def test_a_connection_alone_is_closed_by_a_call_that_was_given_up(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What uses a connection without a Client (doctor, daemon stop) gets no late answer either."""
    ours = Connection(peer.theirs)
    given_up_by_time(monkeypatch, lambda: ours.call("queue.list"))
    with pytest.raises(ConnectionLost):
        ours.call("status.get")


def test_an_error_that_is_an_answer_leaves_the_connection_as_it_is(peer: Peer) -> None:
    ours = Connection(peer.theirs)
    peer.say(error(1, "no"), result(2, whose="ours"))
    with pytest.raises(errors.Refused, match="no"):
        ours.call("queue.list")
    assert ours.call("daemon.info") == {"whose": "ours"}


# --- a daemon that hangs ---


def test_a_daemon_that_hangs_is_not_asked_to_stop_once_more(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mend is what works: no restart, which would hang as well, and no signal that waits for it."""
    lab.start()
    for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, lab.environment[name])
    monkeypatch.setattr(connection, "ANSWER_S", 0.5)
    os.kill(lab.pid, signal.SIGSTOP)
    with pytest.raises(
        errors.DaemonUnavailable, match=r"did not answer daemon\.stop within 0\.5 s"
    ) as caught:
        stopper.stop_running(Host.of_environment())
    assert caught.value.mend.startswith(f"kill -9 {lab.pid} ")
    lab.kill()


def test_a_daemon_whose_backlog_stays_full_is_said_to_be_busy_for_as_long_as_that_was_seen(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody had started it: "within 15 s of its start" would be another daemon's."""

    def busy() -> socket.socket:
        raise Busy

    for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, lab.environment[name])
    monkeypatch.setattr(starter, "dial", busy)
    monkeypatch.setattr(starter, "START_DEADLINE_S", SHORT_S)
    with pytest.raises(errors.DaemonUnavailable, match="no daemon accepted a connection within 1 s"):
        starter.start()
