"""Bytes in, bytes out: what tests of the protocol itself need beside a plain client."""

import json
import socket
from typing import Any

from tests.support.lab import Lab, Rpc

# Sent after what must not be answered: its answer proves that the daemon has read all before it.
SENTINEL = b'{"jsonrpc": "2.0", "method": "daemon.info", "id": "sentinel"}\n'


def exchange(client: Rpc, line: str | bytes) -> Any:
    """Send one line, receive one."""
    client.send_raw((line.encode() if isinstance(line, str) else line) + b"\n")
    return client.receive()


def code_of(answer: Any) -> int:
    """The error's code; the answer must be an error object of the specification."""
    assert answer["jsonrpc"] == "2.0"
    assert "result" not in answer
    assert isinstance(answer["error"]["message"], str)
    assert answer["error"]["message"]
    code = answer["error"]["code"]
    assert isinstance(code, int)
    return code


def answers_before_sentinel(client: Rpc, line: bytes) -> list[Any]:
    """All that the daemon sends for `line`, up to the answers of requests behind it and to the end."""
    client.send_raw(line + b"\n" + SENTINEL)
    found = []
    for again in (True, False):  # twice: requests run concurrently, the first may overtake
        while not _is_sentinel(answer := client.receive()):
            found.append(answer)
        if again:
            client.send_raw(SENTINEL)
    client.sock.shutdown(socket.SHUT_WR)
    found += [json.loads(rest) for rest in client.file]
    return found


def _is_sentinel(answer: Any) -> bool:
    return isinstance(answer, dict) and answer["id"] == "sentinel"


def faults(lab: Lab) -> list[dict[str, Any]]:
    """What stands in the daemon's log of faults of its own."""
    return [*lab.events("handler failed"), *lab.events("connection failed"), *lab.events("drive failed")]
