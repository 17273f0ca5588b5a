"""The daemon's handle of the NVML worker process: starts it, asks it under a deadline, kills it."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import anyio
import msgspec
from msgspec import Struct

import ardaemon
from ardaemon.core.gpus import GpuReading

# Bytes of one answer: 64 GPUs with 200 processes each make 1 MB.
ANSWER_MAX = 4 << 20
_PIECE = 256 << 10  # bytes of one read
_KILL_S = 1.0  # a killed worker is gone in milliseconds, or is stuck in the driver and stays
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(ardaemon.__file__)))


class WorkerLost(Exception):
    """The worker hangs, or answers nonsense; the exception's text says which."""


class WorkerEnded(WorkerLost):
    """The worker has ended; once it is reaped, `WorkerProcess.how` says why."""


class Want(Struct, frozen=True, kw_only=True):
    """The values that are wanted beyond memory, compute processes and utilisation."""

    thorough: bool = False  # temperature, power, throttling
    graphics: bool = False  # graphics processes: takes milliseconds

    def __or__(self, other: "Want") -> "Want":
        return Want(thorough=self.thorough or other.thorough, graphics=self.graphics or other.graphics)

    def covers(self, other: "Want") -> bool:
        """Return whether an answer to this one is also an answer to `other`."""
        return self | other == self


class WorkerAnswer(Struct, frozen=True):
    """One line of the worker's: the GPUs, or the error because of which NVML as a whole has failed."""

    id: int
    failed: str | None = None
    driver: str = ""
    gpus: tuple[GpuReading, ...] = ()
    cpu_s: float = 0.0  # CPU time of the look


class WorkerProcess:
    """An NVML worker process. It ends by itself when this process ends."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Start the process. Raises OSError."""
        self.killed = False
        self.answered = False
        self.received = bytearray()
        self.count = 0
        self.silent_since: float | None = None
        program = _program()
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        try:
            with theirs:
                # -I and -S keep the user's environment and other packages out of it.
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", program],
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

    async def ask(self, want: Want, deadline: float) -> WorkerAnswer:
        """Ask for one look at the GPUs. Raises WorkerLost if the worker is silent for `deadline` seconds.

        The call may be cancelled: a late answer is not taken for one to the next question, and the time
        of silence goes on counting.
        """
        self.count += 1
        request = {"id": self.count, "thorough": want.thorough, "graphics": want.graphics}
        try:
            self.channel.send(msgspec.json.encode(request) + b"\n")
            self.silent_since = self.silent_since or time.monotonic()
            answer = await self._listen(self.silent_since + deadline - time.monotonic())
        except OSError as error:
            raise WorkerEnded("the NVML worker ended") from error
        if answer is None:
            raise WorkerLost(f"NVML has not answered for {deadline:g} s")
        self.answered = True
        return answer

    async def _listen(self, seconds: float) -> WorkerAnswer | None:
        with anyio.move_on_after(seconds):
            while (answer := self._next()) is None:
                await anyio.wait_readable(self.channel)
            return answer
        return self._next()  # the answer may be there: perhaps this process, not the worker, was held up

    def _next(self) -> WorkerAnswer | None:
        """Return the answer to the last question; None if it has not come."""
        while True:
            line, end, rest = self.received.partition(b"\n")
            if end:
                self.received = rest
                answer = _decode(line)
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
            raise WorkerEnded("the NVML worker ended")
        self.received += piece
        if len(self.received) > ANSWER_MAX:
            raise WorkerLost(f"the NVML worker's answer is longer than {ANSWER_MAX} bytes")
        return True

    def kill(self) -> None:
        """Send SIGKILL; an ask() under way raises WorkerEnded then."""
        self.killed = True
        self.process.kill()

    async def reap(self) -> bool:
        """Wait a moment for the end of the killed worker; return False if it is stuck in the driver."""
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
            pass  # it is stuck in the driver, and nothing can end it

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


def _program() -> str:
    binding = importlib.util.find_spec("pynvml")  # finds it without importing it
    if binding is None or binding.origin is None:
        raise FileNotFoundError("the package nvidia-ml-py is not installed")
    home = Path(binding.origin).parent
    site = home.parent if binding.submodule_search_locations else home  # older versions were a package
    return (
        f"import sys; sys.path.insert(0, {_ROOT!r}); sys.path.append({str(site)!r});"
        " from ardaemon.gpus.nvml_worker import main; main()"
    )


def _decode(line: bytes | bytearray) -> WorkerAnswer:
    try:
        return msgspec.json.decode(line, type=WorkerAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WorkerLost(f"the NVML worker's answer cannot be read: {error}") from error


async def _exited(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has ended. Until it is reaped, no other process can get its pid."""
    if process.poll() is not None:
        return
    fd = os.pidfd_open(process.pid)
    try:
        await anyio.wait_readable(fd)
    finally:
        os.close(fd)
