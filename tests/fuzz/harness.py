"""The daemon's own reading, decoding and dispatch, fed with bytes in this process.

Its handlers record what reached them and answer with nothing: what is tried is everything before them.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.abc

from ardaemon.core.config import Config
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.methods import METHODS
from ardaemon.core.protocol import Params
from ardaemon.rpc import connection
from ardaemon.rpc.budget import Budget, Share
from ardaemon.rpc.connection import ClientConnection
from ardaemon.rpc.dispatch import Dispatcher, Handler, Notify

ANSWER = {"jsonrpc", "id"}
FRAME_MAX = 2000  # bytes; so that short inputs can pass the limit too


class Fault(AssertionError):
    """What must never happen."""


class Wire(anyio.abc.ByteStream):
    """A client that sends `chunks`, waits for its answers, and goes."""

    def __init__(self, chunks: list[bytes], idle: Callable[[], Awaitable[None]]) -> None:
        self.chunks, self.idle, self.answers = chunks, idle, bytearray()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """The next piece, when all that came before was looked at."""
        if not self.chunks:
            await self.idle()
            raise anyio.EndOfStream
        return self.chunks.pop(0)

    async def send(self, item: bytes) -> None:
        """Kept, to be judged."""
        self.answers += item

    async def send_eof(self) -> None:
        """Nothing to do."""

    async def aclose(self) -> None:
        """Nothing to do."""


class Harness:
    """One dispatcher for all inputs."""

    def __init__(self) -> None:
        vars(connection)["FRAME_MAX"] = FRAME_MAX
        self.reached: dict[str, int] = dict.fromkeys(METHODS, 0)
        self.dispatcher = Dispatcher({name: self._handler(name) for name in METHODS})
        self.loop = asyncio.new_event_loop()
        logging.getLogger("ardaemon").addHandler(_Raise())

    def _handler(self, name: str) -> Handler:
        kind = METHODS[name].params

        async def handler(params: Params, notify: Notify) -> Any:
            if type(params) is not kind:
                raise Fault(f"{name} got {type(params).__name__}")
            self.reached[name] += 1
            return {}

        return handler

    def feed(self, chunks: list[bytes]) -> list[Any]:
        """Everything the server says to these bytes; raises Fault where it is not as it must be."""
        lines = b"".join(chunks).split(b"\n")[:-1]
        answers = self.loop.run_until_complete(self._session([c for c in chunks if c]))
        found = [json.loads(line) for line in answers.splitlines()]
        due = sum(bool(line.strip()) for line in lines) + 1  # a line too long without an end is answered too
        if len(found) > due:
            raise Fault(f"{len(found)} answers to {due} requests")
        for answer in found:
            for one in answer if isinstance(answer, list) else [answer]:
                _check(one)
        return found

    async def _session(self, chunks: list[bytes]) -> bytes:
        async def idle() -> None:
            # The handlers wait for nothing: what they need is some turns of the loop.
            while served.in_flight:  # noqa: ASYNC110
                await asyncio.sleep(0)

        wire = Wire(chunks, idle)
        served = ClientConnection(wire, self.dispatcher, LiveConfig(Config()), Share(Budget()), lambda: None)  # type: ignore[arg-type]  # no more of a socket
        await served.run()
        if served.in_flight:
            raise Fault(f"{served.in_flight} requests are still in flight")
        return bytes(wire.answers)


class _Raise(logging.Handler):
    """A word in the log above INFO would be a fault of the server's own: no input may cause one."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno > logging.INFO:
            raise Fault(record.getMessage()) from (record.exc_info[1] if record.exc_info else None)


def _check(answer: Any) -> None:
    """A response object as section 5 of the specification has it; an error of ours, none from within."""
    if answer["jsonrpc"] != "2.0" or not isinstance(answer["id"], str | int | float | None):
        raise Fault(f"not a response: {answer}")
    if set(answer) == ANSWER | {"result"}:
        return
    if set(answer) != ANSWER | {"error"}:
        raise Fault(f"not a response: {answer}")
    error = answer["error"]
    if not isinstance(error["code"], int) or not isinstance(error["message"], str) or error["code"] == -32603:
        raise Fault(f"not an error of a client's: {answer}")
