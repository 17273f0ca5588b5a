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
from ardaemon.core.config import FRAME_MAX, REQUEST_BYTES, REQUESTS_PER_CONNECTION
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.live_config import LiveConfig
from ardaemon.host import operations
from ardaemon.rpc import messages
from ardaemon.rpc.budget import Share, full
from ardaemon.rpc.dispatch import Asked, Dispatcher, busy

TOO_LONG = f"a request is longer than {FRAME_MAX} bytes"
READ_CHUNK = 1 << 16


class ClientConnection:
    """Reads requests, has each answered while it reads the next, and ends when its client is gone."""

    def __init__(
        self,
        stream: anyio.abc.SocketStream,
        dispatcher: Dispatcher,
        config: LiveConfig,
        share: Share,
        answered: Callable[[], None],
    ) -> None:
        self.stream, self.dispatcher, self.config, self.share = stream, dispatcher, config, share
        self.answered = answered  # called after each answer is sent
        self.sending = anyio.Lock(fast_acquire=True)  # else each answer waits a turn of the event loop
        self.in_flight = 0
        self.gone = False  # the client does not read, or has hung up
        self.buffer, self.begun = bytearray(), 0.0  # the line that came in part, and when it began
        self.counted = 0  # how many bytes of it the share counts

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
        patience = self.config.now.request_timeout
        while True:
            begun_before = bool(self.buffer)
            with anyio.CancelScope(deadline=self.begun + patience if begun_before else math.inf) as half:
                self.buffer += await self.stream.receive(READ_CHUNK)
            if half.cancelled_caught:
                return await self._cut_off(_unfit(f"a request was begun and not finished in {patience:g} s"))
            fault = await self._take_lines(tasks, begun_before)
            if fault is not None:
                return await self._cut_off(fault)

    async def _take_lines(self, tasks: anyio.abc.TaskGroup, begun_before: bool) -> ArdaemonError | None:
        """Accept each request that has come whole, and keep the rest; return why the client is to be cut off.

        A function of its own, so that no variable keeps a line while the next one is waited for.
        """
        lines = self._whole_lines()
        if lines:
            self._count(0)
        for line in lines:
            if len(line) > FRAME_MAX:
                return _unfit(TOO_LONG)
            if line.strip():
                await self._accept(tasks, line)
                if len(lines) > 1:  # other clients get a turn between the requests of one that floods
                    await anyio.lowlevel.checkpoint()
        rest = len(self.buffer)
        if rest > FRAME_MAX:
            return _unfit(TOO_LONG)
        if not self.share.has_room(rest - self.counted):
            return full()
        self._count(rest)
        if lines or not begun_before:
            self.begun = anyio.current_time()  # bytes that trickle in do not put the deadline off
        return None

    def _whole_lines(self) -> list[bytes]:
        """Take the lines that have come whole out of the buffer.

        Where none is whole, nothing is copied: a client may send a long line byte by byte.
        """
        if self.buffer.find(b"\n", -READ_CHUNK) < 0:
            return []
        *lines, rest = bytes(self.buffer).split(b"\n")
        self.buffer = bytearray(rest)
        return lines

    def _count(self, size: int) -> None:
        self.share.hold(size - self.counted)
        self.counted = size

    async def _cut_off(self, fault: ArdaemonError) -> None:
        code = errors.INVALID_REQUEST if isinstance(fault, errors.UsageError) else None
        await self.send(messages.error(None, fault, code))

    async def _accept(self, tasks: anyio.abc.TaskGroup, line: bytes) -> None:
        """Have a line answered in a task of its own; the task has the requests, and not the line."""
        if self.in_flight >= REQUESTS_PER_CONNECTION:
            return await self._refuse(line, busy())
        asked = self.dispatcher.decode(self.in_flight, line)
        size = len(line) + len(asked.parts) * REQUEST_BYTES
        if not self.share.has_room(size):
            return await self._refuse(line, full())
        self.in_flight += len(asked.parts)
        self.share.hold(size)
        tasks.start_soon(self._answer, asked, size)
        return None

    async def _refuse(self, line: bytes, fault: ArdaemonError) -> None:
        identity = messages.id_of(line)
        if identity is not UNSET:  # a notification is never answered
            await self.send(messages.error(identity, fault))

    async def _answer(self, asked: Asked, size: int) -> None:
        try:
            answer = await self.dispatcher.answer(self, asked)
            if answer is not None:
                await self._deliver(answer, asked)
        finally:
            self.in_flight -= len(asked.parts)
            self.share.hold(-size)
            self.answered()

    async def _deliver(self, answer: bytes, asked: Asked) -> None:
        """Send the answer, or an error where too many bytes wait already for clients that do not read."""
        if not self.share.has_room(len(answer)):
            answer = messages.error(asked.identity, full())
        self.share.hold(len(answer))
        try:
            await self.send(answer)
        finally:
            self.share.hold(-len(answer))

    async def send(self, data: bytes) -> None:
        """Send one line. A client that does not read it in time is cut off."""
        async with self.sending:
            operations.at("acknowledge", data)
            try:
                with anyio.fail_after(self.config.now.send_timeout):
                    await self.stream.send(data if data.endswith(b"\n") else data + b"\n")
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError):
                self.gone = True
                raise


def _unfit(why: str) -> errors.UsageError:
    return errors.UsageError(why, "a request is one line of JSON")


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
