"""One client's connection: one JSON text per line, every wait and every buffer bounded."""

import math
import select
import socket
from collections.abc import Callable

import anyio
import anyio.abc
import anyio.lowlevel
from anyio.abc import SocketAttribute
from msgspec import UNSET

from ardaemon.core import errors
from ardaemon.core.config import FRAME_MAX, REQUESTS_PER_CONNECTION, Config
from ardaemon.host import operations
from ardaemon.rpc import messages
from ardaemon.rpc.dispatch import Dispatcher, busy

TOO_LONG = f"a request is longer than {FRAME_MAX} bytes"
READ_CHUNK = 1 << 16


class ClientConnection:
    """Reads requests, has each answered while it reads the next, and ends when its client is gone."""

    def __init__(
        self,
        stream: anyio.abc.SocketStream,
        dispatcher: Dispatcher,
        config: Config,
        answered: Callable[[], None],
    ) -> None:
        self.stream, self.dispatcher, self.config = stream, dispatcher, config
        self.answered = answered  # called after each answer is sent
        self.sending = anyio.Lock()
        self.in_flight = 0
        self.gone = False  # the client does not read, or has hung up

    async def run(self) -> None:
        """Serve until the client hangs up, or until all is answered that it asked before it ended sending."""
        async with anyio.create_task_group() as ours:
            async with anyio.create_task_group() as requests:
                try:
                    await self._read(requests)
                    requests.cancel_scope.cancel()  # the client was cut off
                except anyio.EndOfStream:
                    if self.in_flight:
                        ours.start_soon(self._end_when_hung_up, requests.cancel_scope)
            ours.cancel_scope.cancel()

    async def _end_when_hung_up(self, requests: anyio.CancelScope) -> None:
        await _hung_up(self.stream.extra(SocketAttribute.raw_socket))
        requests.cancel()  # the client is gone: its waits end here, its runs do not

    async def _read(self, tasks: anyio.abc.TaskGroup) -> None:
        buffer, begun = bytearray(), 0.0
        patience = self.config.request_timeout
        while True:
            fresh = not buffer
            with anyio.CancelScope(deadline=begun + patience if buffer else math.inf) as half:
                buffer += await self.stream.receive(READ_CHUNK)
            if half.cancelled_caught:
                return await self._cut_off(f"a request was begun and not finished in {patience:g} s")
            *lines, rest = bytes(buffer).split(b"\n") if b"\n" in buffer[-READ_CHUNK:] else [bytes(buffer)]
            for line in lines:
                if len(line) > FRAME_MAX:
                    return await self._cut_off(TOO_LONG)
                if line.strip():
                    await self._accept(tasks, line)
                    if len(lines) > 1:  # other clients get a turn between the requests of one that floods
                        await anyio.lowlevel.checkpoint()
            if len(rest) > FRAME_MAX:
                return await self._cut_off(TOO_LONG)
            if lines:
                buffer = bytearray(rest)
            if lines or fresh:
                begun = anyio.current_time()  # bytes that trickle in do not put the deadline off

    async def _cut_off(self, why: str) -> None:
        refusal = errors.UsageError(why, "a request is one line of JSON")
        await self.send(messages.error(None, refusal, errors.INVALID_REQUEST))

    async def _accept(self, tasks: anyio.abc.TaskGroup, line: bytes) -> None:
        if self.in_flight >= REQUESTS_PER_CONNECTION:
            identity = messages.id_of(line)
            if identity is not UNSET:  # a notification is never answered
                await self.send(messages.error(identity, busy()))
            return
        self.in_flight += 1
        tasks.start_soon(self._line, line)

    async def _line(self, line: bytes) -> None:
        try:
            answer = await self.dispatcher.answer(self, line)
            if answer is not None:
                await self.send(answer)
        finally:
            self.in_flight -= 1
            self.answered()

    async def send(self, data: bytes) -> None:
        """Send one line. A client that does not read it in time is cut off."""
        async with self.sending:
            operations.at("acknowledge", data)
            try:
                with anyio.fail_after(self.config.send_timeout):
                    await self.stream.send(data + b"\n")
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError):
                self.gone = True
                raise


async def _hung_up(sock: socket.socket) -> None:
    """Wait until the other end is closed in both directions (poll(2), POLLHUP): before, it may still read."""
    at_once = select.poll()
    at_once.register(sock, 0)
    if at_once.poll(0):
        return
    # An epoll of its own: that of the event loop would wake when the client has only stopped sending.
    with select.epoll() as watched:
        watched.register(sock, 0)
        await anyio.wait_readable(watched)
