"""The daemon's handle of a worker process: starts it, asks it under a deadline, kills it.

A worker does what may hang, crash or hold the interpreter's lock for long. One JSON line asks it, one line
answers.
"""

import os
import socket
import subprocess
import sys
import time
from typing import Any, Generic, TypeVar

import anyio
import msgspec
from msgspec import Struct

import ardaemon

# Bytes of one answer: 64 GPUs with 200 processes each make 1 MB.
ANSWER_MAX = 4 << 20
_PIECE = 256 << 10  # bytes of one read
_KILL_S = 1.0  # a killed worker is gone in milliseconds, or is stuck in a driver and stays
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(ardaemon.__file__)))


class WorkerLost(Exception):
    """The worker hangs, or answers nonsense; the exception's text says which."""


class WorkerEnded(WorkerLost):
    """The worker has ended; once it is reaped, `Worker.how` says why."""


class WorkerAnswer(Struct, frozen=True):
    """The base of one line of a worker's; `id` is that of the request."""

    id: int


A = TypeVar("A", bound=WorkerAnswer)


class Worker(Generic[A]):
    """A worker process. It ends by itself when this process ends."""

    def __init__(
        self, name: str, module: str, answers: type[A], environment: dict[str, str], *paths: str
    ) -> None:
        """Start main() of `module`, which finds imports in our own folder and in `paths`. Raises OSError.

        `name` is what the process works for, in words for a person.
        """
        self.name, self.answers = name, answers
        self.killed = False
        self.answered = False
        self.received = bytearray()
        self.count = 0
        self.silent_since: float | None = None
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        try:
            with theirs:
                # -I and -S keep the user's environment and other packages out of it.
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _program(module, paths)],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                )
        except BaseException:
            self.channel.close()
            raise

    async def ask(self, request: dict[str, Any], deadline: float, *payload: bytes) -> A:
        """Ask, and return the answer. Raises WorkerLost if the worker is silent for `deadline` seconds.

        `payload` follows the request's line. A call without one may be cancelled: a late answer is not taken
        for one to the next question, and the time of silence goes on counting. After a payload that was cut
        short the worker must be killed.
        """
        self.count += 1
        line = msgspec.json.encode({"id": self.count, **request}) + b"\n"
        try:
            self.silent_since = self.silent_since or time.monotonic()
            answer = await self._exchange(b"".join((line, *payload)), self.silent_since + deadline)
        except OSError as error:
            raise self._ended() from error
        if answer is None:
            raise WorkerLost(f"{self.name} has not answered for {deadline:g} s")
        self.answered = True
        return answer

    async def _exchange(self, request: bytes, until: float) -> A | None:
        """Send a request and return its answer; None if that does not come in time."""
        rest = memoryview(request)
        rest = rest[self.channel.send(rest) :]
        with anyio.move_on_after(until - time.monotonic()):
            while rest:
                await anyio.wait_writable(self.channel)
                rest = rest[self.channel.send(rest) :]
            while (answer := self._next()) is None:
                await anyio.wait_readable(self.channel)
            return answer
        return self._next()  # the answer may be there: perhaps this process, not the worker, was held up

    def _next(self) -> A | None:
        """Return the answer to the last question; None if it has not come."""
        while True:
            line, end, rest = self.received.partition(b"\n")
            if end:
                self.received = rest
                answer = self._decode(line)
                if answer.id == self.count:
                    self.silent_since = None
                    return answer
                self.silent_since = time.monotonic()  # the last question is still open
            elif not self._receive():
                return None

    def _receive(self) -> bool:
        """Read what has come; return False if nothing has."""
        try:
            piece = self.channel.recv(_PIECE)
        except BlockingIOError:
            return False
        if not piece:
            raise self._ended()
        self.received += piece
        if len(self.received) > ANSWER_MAX:
            raise WorkerLost(f"the {self.name} worker's answer is longer than {ANSWER_MAX} bytes")
        return True

    def _decode(self, line: bytes | bytearray) -> A:
        try:
            return msgspec.json.decode(line, type=self.answers)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WorkerLost(f"the {self.name} worker's answer cannot be read: {error}") from error

    def _ended(self) -> WorkerEnded:
        return WorkerEnded(f"the {self.name} worker ended")

    def kill(self) -> None:
        """Send SIGKILL; an ask() under way raises WorkerEnded then."""
        self.killed = True
        self.process.kill()

    async def reap(self) -> bool:
        """Wait a moment for the end of the killed worker; return False if it is stuck in a driver."""
        with anyio.move_on_after(_KILL_S, shield=True):
            await _exited(self.process)
        self.channel.close()
        return self.gone

    def close(self) -> None:
        """Kill the worker and wait for its end, with no event loop to wait in."""
        self.kill()
        self.channel.close()
        try:
            self.process.wait(_KILL_S)
        except subprocess.TimeoutExpired:
            pass  # it is stuck in a driver, and nothing can end it

    @property
    def gone(self) -> bool:
        """True if the worker has ended and is reaped."""
        return self.process.poll() is not None

    @property
    def how(self) -> str:
        """The way in which it ended, in words for a person."""
        code = self.process.poll()
        if code is None:
            return "it still lives"
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _program(module: str, paths: tuple[str, ...]) -> str:
    return (
        f"import sys; sys.path.insert(0, {_ROOT!r}); sys.path.extend({list(paths)!r});"
        f" from {module} import main; main()"
    )


async def _exited(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has ended. Until it is reaped, no other process can get its pid."""
    if process.poll() is not None:
        return
    fd = os.pidfd_open(process.pid)
    try:
        await anyio.wait_readable(fd)
    finally:
        os.close(fd)
