"""The worker process as the daemon holds it: started, asked under a deadline, killed."""

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

# One answer: 64 GPUs with 200 processes each are 1 MB.
ANSWER_MAX = 4 << 20
_PIECE = 256 << 10  # one read
_KILL_S = 1.0  # a killed worker is gone in milliseconds, or is stuck in the driver and stays
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(ardaemon.__file__)))


class WorkerLost(Exception):
    """The worker hangs or talks nonsense; the text says which."""


class WorkerEnded(WorkerLost):
    """It is not there any more; `Worker.how` says why, once it is reaped."""


class Want(Struct, frozen=True, kw_only=True):
    """What is asked beyond memory, compute processes and utilisation."""

    thorough: bool = False  # temperature, power, what slows it down
    graphics: bool = False  # graphics processes: takes milliseconds

    def __or__(self, other: "Want") -> "Want":
        return Want(thorough=self.thorough or other.thorough, graphics=self.graphics or other.graphics)

    def covers(self, other: "Want") -> bool:
        """Is an answer to this one also an answer to the other?"""
        return self | other == self


class Answer(Struct, frozen=True):
    """One line of the worker's."""

    id: int
    failed: str | None = None
    driver: str = ""
    gpus: tuple[GpuReading, ...] = ()


class Worker:
    """A worker process; it ends by itself when this one does."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Start one. Raises OSError."""
        self.killed = False
        self.answered = False
        self.heard = bytearray()
        self.count = 0
        self.silent_since: float | None = None
        program = _program()
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        try:
            with theirs:
                # -I and -S: nothing of the user's environment or of other packages has a part in it.
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

    async def ask(self, want: Want, deadline: float) -> Answer:
        """One look at the GPUs; WorkerLost if it has been silent for `deadline` seconds.

        May be cancelled: what the worker says late is not taken for an answer to the next question, and its
        silence goes on counting.
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

    async def _listen(self, seconds: float) -> Answer | None:
        with anyio.move_on_after(seconds):
            while (answer := self._next()) is None:
                await anyio.wait_readable(self.channel)
            return answer
        return self._next()  # where this process was not let run for so long, the worker is not to blame

    def _next(self) -> Answer | None:
        """The answer to the last question, if it is there."""
        while True:
            line, end, rest = self.heard.partition(b"\n")
            if end:
                self.heard = rest
                answer = _decode(line)
                if answer.id == self.count:
                    self.silent_since = None
                    return answer
                self.silent_since = time.monotonic()  # with the last question still open
            elif not self._receive():
                return None

    def _receive(self) -> bool:
        """Take what there is; False if there is nothing."""
        try:
            piece = self.channel.recv(_PIECE)
        except BlockingIOError:
            return False
        if not piece:
            raise WorkerEnded("the NVML worker ended")
        self.heard += piece
        if len(self.heard) > ANSWER_MAX:
            raise WorkerLost(f"the NVML worker's answer is longer than {ANSWER_MAX} bytes")
        return True

    def kill(self) -> None:
        """SIGKILL. Whoever listens to it hears that it ended."""
        self.killed = True
        self.process.kill()

    async def reap(self) -> bool:
        """Wait a moment for a killed one; False if it is stuck in the driver."""
        with anyio.move_on_after(_KILL_S, shield=True):
            await _exited(self.process)
        self.channel.close()
        return self.gone

    def close(self) -> None:
        """Kill it and see it gone, with no event loop to wait in."""
        self.kill()
        self.channel.close()
        try:
            self.process.wait(_KILL_S)
        except subprocess.TimeoutExpired:
            pass  # stuck in the driver: nobody can help that

    @property
    def gone(self) -> bool:
        """Has it ended? No zombie is left then."""
        return self.process.poll() is not None

    @property
    def how(self) -> str:
        """How it ended, for a person."""
        code = self.process.poll()
        if code is None:
            return "it still lives"
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _program() -> str:
    binding = importlib.util.find_spec("pynvml")  # does not import it
    if binding is None or binding.origin is None:
        raise FileNotFoundError("the package nvidia-ml-py is not installed")
    home = Path(binding.origin).parent
    site = home.parent if binding.submodule_search_locations else home  # older ones were a package
    return (
        f"import sys; sys.path.insert(0, {_ROOT!r}); sys.path.append({str(site)!r});"
        " from ardaemon.gpus.nvml_worker import main; main()"
    )


def _decode(line: bytes | bytearray) -> Answer:
    try:
        return msgspec.json.decode(line, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WorkerLost(f"the NVML worker talks nonsense: {error}") from error


async def _exited(process: subprocess.Popen[bytes]) -> None:
    """Return when it has ended. Until it is waited for, its pid is nobody else's."""
    if process.poll() is not None:
        return
    fd = os.pidfd_open(process.pid)
    try:
        await anyio.wait_readable(fd)
    finally:
        os.close(fd)
