"""Agents that speak MCP to `arctl mcp`, line by line, as a client does that knows nothing of the SDK."""

import json
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import client
from tests.support.lab import DEADLINE_S, Lab

HANDSHAKE = ("2025-06-18", "2025-11-25")  # protocols that begin with `initialize`
ENVELOPE = "2026-07-28"  # a protocol whose every request says which it is
PROTOCOLS = (*HANDSHAKE, ENVELOPE)
COMMAND = (sys.executable, "-m", "arctl", "mcp")
Message = dict[str, Any]


class Agent:
    """One client with a server of its own."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        protocol: str = HANDSHAKE[0],
        options: Sequence[str] = (),
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.protocol, self.count = protocol, 0
        self.notifications: list[Message] = []
        self._early: dict[int, Message] = {}  # answers that came before they were asked for
        self.read = 0  # bytes of the answers' texts and structures: what a model may see
        self.process: subprocess.Popen[bytes] = client.start(
            [*command, *options],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._selector = selectors.DefaultSelector()
        assert self.process.stdout is not None
        self._selector.register(self.process.stdout, selectors.EVENT_READ)
        self._buffer = b""
        self.greeting = self._greet()

    def _greet(self) -> Message:
        if self.protocol == ENVELOPE:
            return self.ask("server/discover")
        raw = {"name": "raw", "version": "1"}
        answer = self.ask("initialize", protocolVersion=self.protocol, capabilities={}, clientInfo=raw)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def send(self, message: Message | bytes) -> None:
        """Send one message, or bytes as they are."""
        line = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def request(self, method: str, **params: Any) -> int:
        """Send a request and return its id; its progress token is that id too."""
        self.count += 1
        meta: Message = {"progressToken": self.count}
        if self.protocol == ENVELOPE:
            prefix = "io.modelcontextprotocol"
            meta[f"{prefix}/protocolVersion"] = self.protocol
            meta[f"{prefix}/clientInfo"] = {"name": "raw", "version": "1"}
            meta[f"{prefix}/clientCapabilities"] = {}
        params = {**params, "_meta": meta}
        self.send({"jsonrpc": "2.0", "id": self.count, "method": method, "params": params})
        return self.count

    def receive(self, deadline: float = DEADLINE_S) -> Message | None:
        """Return the next message; None at the end. Whatever is on stdout must be one."""
        assert self.process.stdout is not None
        while b"\n" not in self._buffer:
            assert self._selector.select(deadline), f"no message within {deadline:g} s"
            data = self.process.stdout.read1(1 << 16)  # type: ignore[attr-defined]
            if not data:
                assert self._buffer == b""
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: Message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return message

    def answer(self, request: int, deadline: float = DEADLINE_S) -> Message:
        """Return the answer to a request; notifications and other requests' answers before it are kept."""
        while request not in self._early:
            message = self.receive(deadline)
            assert message is not None, self.errors()
            if "method" in message:
                self.notifications.append(message)
            else:
                assert 0 < message["id"] <= self.count, message
                self._early[message["id"]] = message
        return self._early.pop(request)

    def answers(self, requests: list[int], deadline: float = DEADLINE_S) -> dict[int, Message]:
        """Return the answers to several requests, in whatever order they come."""
        found: dict[int, Message] = {}
        while found.keys() < set(requests):
            message = self.receive(deadline)
            assert message is not None
            if message.get("id") in requests:
                found[message["id"]] = message
        return found

    def ask(self, method: str, **params: Any) -> Message:
        """Send a request and return its result."""
        answer = self.answer(self.request(method, **params))
        assert "result" in answer, answer
        result: Message = answer["result"]
        return result

    def start(self, tool: str, **arguments: Any) -> int:
        """Call a tool, and do not wait for its answer."""
        return self.request("tools/call", name=tool, arguments=arguments)

    def call(self, tool: str, **arguments: Any) -> Message:
        """Call a tool and return its answer."""
        result = self.ask("tools/call", name=tool, arguments=arguments)
        self.read += len(said(result).encode())
        self.read += len(json.dumps(result.get("structuredContent") or {}, ensure_ascii=False).encode())
        return result

    def do(self, tool: str, **arguments: Any) -> Message:
        """Call a tool that must not fail, and return its structured answer."""
        result = self.call(tool, **arguments)
        assert not result["isError"], said(result)
        content: Message = result["structuredContent"]
        return content

    def refused(self, tool: str, **arguments: Any) -> str:
        """Call a tool that must fail, and return what it says."""
        result = self.call(tool, **arguments)
        assert result["isError"], result
        return said(result)

    def leave(self) -> int:
        """Close the server's input and return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(DEADLINE_S)

    def errors(self) -> str:
        """Return what a server that has ended wrote on stderr."""
        assert self.process.stderr is not None
        self.process.kill()
        return self.process.stderr.read().decode()

    def close(self) -> None:
        """End the server, whatever it does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:  # what was not sent to a server that is gone
                pass
        self._selector.close()


def said(result: Message) -> str:
    """Return the text of a tool's answer."""
    return "\n".join(part["text"] for part in result["content"])


@contextmanager
def agent(lab: Lab, **given: Any) -> Iterator[Agent]:
    """An agent in the project of a lab."""
    environment = given.pop("environment", lab.environment)
    made = Agent(given.pop("folder", lab.project), environment, **given)
    try:
        yield made
    finally:
        made.close()
