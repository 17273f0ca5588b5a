"""The MCP server as an agent would start it: which program that is, and whether it starts."""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from functools import cache
from typing import NamedTuple

from ardaemon.core.text import one_line

START_S = 20.0  # until the first answer: it takes under a second, on a slow disk some
ANSWER_MAX = 64 << 10  # bytes
WHY_MAX = 200  # characters
_HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "arctl skill install", "version": "1"},
    },
}


class Server(NamedTuple):
    """The program of the MCP server; `why` says why there is none that starts."""

    program: str | None
    why: str = ""


@cache
def find() -> Server:
    """Return the program `arctl` that belongs to this code, after it has started as an MCP server."""
    beside = os.path.join(os.path.dirname(sys.executable), "arctl")
    program = beside if os.access(beside, os.X_OK) else shutil.which("arctl")
    if program is None:
        return Server(None, "there is no program arctl beside this Python, nor on PATH")
    why = _refusal([os.path.abspath(program), "mcp"])
    return Server(os.path.abspath(program)) if why is None else Server(None, why)


def _refusal(command: list[str]) -> str | None:
    """Start the server and greet it; return why it does not answer."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdin, process.stdout, process.stderr:
        try:
            process.stdin.write(json.dumps(_HELLO).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # its words say why
        answer = _line(process.stdout.fileno())
        process.kill()  # it has nothing to finish
        error = process.stderr.read(ANSWER_MAX).decode(errors="replace")
    process.wait()
    return None if _is_hello(answer) else one_line(error, WHY_MAX) or f"no answer within {START_S:g} s"


def _line(fd: int) -> bytes:
    """Return the first line that comes within START_S."""
    end, data = time.monotonic() + START_S, b""
    while b"\n" not in data and len(data) < ANSWER_MAX:
        ready, _, _ = select.select([fd], [], [], max(0.0, end - time.monotonic()))
        block = os.read(fd, ANSWER_MAX) if ready else b""
        if not block:
            break
        data += block
    return data.partition(b"\n")[0]


def _is_hello(answer: bytes) -> bool:
    try:
        return isinstance(json.loads(answer)["result"], dict)
    except (ValueError, KeyError, TypeError):
        return False
