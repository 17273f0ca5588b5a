"""Frames of every kind, cut anywhere, from several connections at once, to a real daemon.

A model knows what each connection is owed: every whole request with an id is answered once, a
notification never, and what is no request by at most one error. Connections come and go meanwhile.
"""

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ardaemon.core.config import FRAME_MAX
from ardaemon.core.errors import INTERNAL_ERROR, INVALID_REQUEST
from tests.support import lab as labs
from tests.support.lab import Lab, Rpc
from tests.support.machine import configured
from tests.support.promises import FULL
from tests.support.wire import SENTINEL, faults

OPEN_MAX = 4
OWED_MAX = 40  # requests before an answer is asked for: fewer than may be in flight

# Texts that are JSON and must not be, or the other way round.
ODDITIES = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 5000,
    b'"\\ud800"',
    b'"\xed\xa0\x80"',
    b'"\xff"',
    b"\xef\xbb\xbf{}",
    b"[" * 5000,
    b"[" * 3000 + b"]" * 3000,
    b'{"a":' * 100 + b"1" + b"}" * 100,
    b"[]",
    b"{}",
    b'{"jsonrpc": "2.0", "method": "daemon.info", "id": 1, "id": true}',
    b'{"jsonrpc": "2.0", "method": "daemon.info", "method": "no", "params": NaN, "id": "odd"}',
    b'{"jsonrpc": "2.0", "method": "daemon.info", "id": 1e400}',
    b'{"jsonrpc": "2.0", "method": "daemon.info", "protocol": 1e30, "id": "odd"}',
    b'{"jsonrpc": "2.0", "method": "run.get", "params": {"project": "\\u0000"}, "id": "odd"}',
    b'[{"jsonrpc": "2.0", "method": "daemon.info"}, 1, [], null]',
    b"\x00",
    b"\r",
)
METHODS = ("daemon.info", "queue.list", "rpc.discover", "status.get", "run.get", "no.such.method", "run.tail")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PARAMS = st.dictionaries(st.sampled_from(["project", "expr", "run_id", "x"]), VALUES, max_size=3) | st.lists(
    VALUES, max_size=3
)


class Peer:
    """One connection, and what the daemon owes it."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc
        self.begun = b""  # of a line: what is not sent yet
        self.owed: set[int] = set()
        self.others = 0  # answers there may be: to what is no request, or no longer the one that it was

    def send(self, line: bytes, whole: int = 1 << 30) -> None:
        """The rest of what was begun and the first `whole` bytes of this line, in one piece; not its rest."""
        self.rpc.send_raw(self.begun + line[:whole])
        self.begun = line[whole:]


class Frames(RuleBasedStateMachine):
    """Rules are what clients do; `settle` compares."""

    world: Lab

    def __init__(self) -> None:
        super().__init__()
        self.peers: list[Peer] = []
        self.count = 0

    @initialize()
    def first(self) -> None:
        self.connect()

    @rule()
    @precondition(lambda self: len(self.peers) < OPEN_MAX)
    def connect(self) -> None:
        self.peers.append(Peer(Rpc(str(self.world.runtime / "ardaemon/control.sock"))))

    def free(self, at: int) -> Peer:
        """A connection that is not owed too much."""
        peer = self.peers[at % len(self.peers)]
        if len(peer.owed) + peer.others > OWED_MAX:
            self.compare(peer)
        return peer

    def request(self, data: st.DataObject, peer: Peer, notification: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"jsonrpc": "2.0"}
        found |= {"method": data.draw(st.sampled_from(METHODS)), "params": data.draw(PARAMS)}
        if not notification:
            self.count += 1
            found["id"] = self.count
            peer.owed.add(self.count)
        return found

    @rule(data=st.data(), at=st.integers(0, OPEN_MAX), cut=st.integers(0, 200), notification=st.booleans())
    def ask(self, data: st.DataObject, at: int, cut: int, notification: bool) -> None:
        """A request, whole or begun; NaN and the like make it no JSON at all."""
        peer = self.free(at)
        request = self.request(data, peer, notification)
        text = json.dumps(request)
        if not _strict(request):
            peer.owed.discard(request.get("id", 0))
            peer.others += 1
        peer.send(text.encode() + b"\n", cut)

    @rule(data=st.data(), at=st.integers(0, OPEN_MAX), of=st.lists(st.booleans(), min_size=1, max_size=5))
    def ask_at_once(self, data: st.DataObject, at: int, of: list[bool]) -> None:
        """A batch: one array comes back, unless all of it are notifications."""
        peer = self.free(at)
        batch = [self.request(data, peer, notification) for notification in of]
        text = json.dumps(batch)
        if not _strict(batch):
            peer.owed -= {request.get("id", 0) for request in batch}
            peer.others += 1
        peer.send(text.encode() + b"\n")

    @rule(at=st.integers(0, OPEN_MAX), line=st.binary(max_size=300) | st.sampled_from(ODDITIES))
    def babble(self, at: int, line: bytes) -> None:
        """Any bytes: their lines are answered by one error each at most."""
        peer = self.free(at)
        peer.others += line.count(b"\n") + 1
        peer.send(line + b"\n")

    @rule(data=st.data(), at=st.integers(0, OPEN_MAX), where=st.integers(0, 100), by=st.binary(max_size=3))
    def misspell(self, data: st.DataObject, at: int, where: int, by: bytes) -> None:
        """A request with some bytes put over others; where it still is one, its id is no one else's."""
        peer = self.free(at)
        line = bytearray(json.dumps({**self.request(data, peer, True), "id": "mutant"}).encode())
        line[where : where + len(by)] = by
        peer.others += line.count(b"\n") + 1
        peer.send(bytes(line) + b"\n")

    @rule(at=st.integers(0, OPEN_MAX), ends=st.booleans())
    def go_on_and_on(self, at: int, ends: bool) -> None:
        """A line over the limit: an error, and that connection is over."""
        peer = self.free(at)
        self.compare(peer)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.send(b'"' + b"x" * (FRAME_MAX + 1) + b"\n" * ends)
        answer = peer.rpc.receive()
        assert (answer["id"], answer["error"]["code"]) == (None, INVALID_REQUEST)
        with contextlib.suppress(ConnectionResetError):
            assert peer.rpc.receive() is None
        self.drop(peer)

    @rule(at=st.integers(0, OPEN_MAX), politely=st.booleans())
    def leave(self, at: int, politely: bool) -> None:
        """Gone, whatever was begun or owed."""
        peer = self.peers[at % len(self.peers)]
        if politely:
            peer.rpc.sock.shutdown(socket.SHUT_WR)
        self.drop(peer)

    def drop(self, peer: Peer) -> None:
        peer.rpc.close()
        self.peers.remove(peer)
        if not self.peers:
            self.connect()

    @rule(at=st.integers(0, OPEN_MAX))
    def settle(self, at: int) -> None:
        self.compare(self.free(at))

    def compare(self, peer: Peer) -> None:
        """All that is owed comes, once; a sentinel behind it shows that nothing more does."""
        sentinels = 0
        peer.send(SENTINEL)
        while sentinels < 2 or peer.owed:
            answer = peer.rpc.receive()
            assert answer is not None, f"cut off, and owed {peer.owed}"
            if isinstance(answer, dict) and answer.get("id") == "sentinel":
                sentinels += 1
                if sentinels == 1:  # requests run concurrently: it may have overtaken one
                    peer.send(SENTINEL)
                continue
            peer.others -= not self.paid(peer, answer)
            assert peer.others >= 0, answer
        peer.others = 0

    def paid(self, peer: Peer, answer: Any) -> bool:
        """Is it, or an array of it, what is owed? Then it is no more."""
        parts = answer if isinstance(answer, list) else [answer]
        assert parts
        ids = {_checked(part) for part in parts}
        if ids & peer.owed:
            assert ids <= peer.owed
            assert len(ids) == len(parts)
            peer.owed -= ids
            return True
        return False

    def teardown(self) -> None:
        try:
            for peer in self.peers:
                self.compare(peer)
        finally:
            for peer in self.peers:
                peer.rpc.close()
        assert faults(self.world) == []


def _strict(request: Any) -> bool:
    """Is it JSON as RFC 8259 has it: numbers that are finite, text that is text?"""
    try:
        json.dumps(request, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:  # UnicodeEncodeError is one: a lone surrogate
        return False
    return True


def _checked(answer: Any) -> Any:
    """A response object's id, hashable."""
    assert answer["jsonrpc"] == "2.0"
    assert ("result" in answer) != ("error" in answer)
    assert set(answer) <= {"jsonrpc", "id", "result", "error"}
    if "error" in answer:
        assert answer["error"]["code"] != INTERNAL_ERROR, answer
        assert answer["error"]["message"]
    return answer["id"]


@pytest.fixture
def world() -> Iterator[Lab]:
    """A daemon that waits for the rest of a line as long as a slow machine needs to think of one."""
    lab = labs.make()
    try:
        configured(lab, "request_timeout = 600.0\n")
        lab.start().init()
        yield lab
        assert lab.call("daemon.info")["pid"] == lab.pid
        assert faults(lab) == []
        assert b"Traceback" not in (lab.root / "stderr").read_bytes() + (lab.home / "daemon.log").read_bytes()
    finally:
        lab.close()


@pytest.mark.promise("protocol-fuzz")
@pytest.mark.timeout(600)
def test_whatever_is_sent_however_cut_each_connection_gets_what_it_is_owed(
    world: Lab, record_property: Any
) -> None:
    examples = 250 if FULL else 25
    Frames.world = world
    run_state_machine_as_test(
        Frames,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    record_property("cases", examples * 30)
