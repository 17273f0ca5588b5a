"""One helper command: bounded in time and output, all of it gone afterwards, or when the daemon is."""

import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

import ardaemon

OUTPUT_MAX = 1 << 20  # bytes of stdout: some ten thousand metrics
ERRORS_MAX = 64 << 10  # bytes of stderr that are kept; more is read and dropped
_PIECE = 64 << 10  # one read; a pipe's usual size
_KEEPER_S = 10.0  # for the keeper to kill what is left and say so

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(ardaemon.__file__)))
_KEEPER = f"import sys; sys.path.insert(0, {_ROOT!r}); from ardaemon.metrics.keeper import main; main()"


class Ended(Struct, frozen=True):
    """How it ended; `code` is negative for a signal, as subprocess has it."""

    how: Literal["exited", "late", "too_much"]
    code: int
    output: bytes
    errors: bytes


class _Word(Struct, frozen=True):
    """What the keeper says at the end."""

    code: int | None = None
    errno: int | None = None
    error: str = ""
    file: str = ""


class _UnderWay:
    """The commands that run now, so that a daemon which stops need not wait for them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # they run in threads
        self.channels: set[socket.socket] = set()
        self.over = False

    @contextmanager
    def holding(self, channel: socket.socket) -> Iterator[None]:
        """`channel` leads to a command's keeper."""
        with self.lock:
            self.channels.add(channel)
            if self.over:
                channel.shutdown(socket.SHUT_WR)
        try:
            yield
        finally:
            with self.lock:
                self.channels.discard(channel)

    def end(self) -> None:
        """End all, and whatever begins from now on."""
        with self.lock:
            self.over = True
            for channel in self.channels:
                channel.shutdown(socket.SHUT_WR)


_under_way = _UnderWay()


def end_all() -> None:
    """End every command: this process stops, and the next one runs them again."""
    _under_way.end()


def run(argv: list[str], folder: Path, environment: dict[str, str], deadline: float) -> Ended:
    """Run `argv` under a keeper for at most `deadline` seconds; OSError where it cannot start."""
    ours, theirs = socket.socketpair()
    with ours, theirs, _under_way.holding(ours):
        number = theirs.fileno()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _KEEPER, str(number), *argv],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=[number],
            start_new_session=True,
        )
        theirs.close()
        output, errors = bytearray(), bytearray()
        with process:
            try:
                how = _collect(process, ours, output, errors, time.monotonic() + deadline)
                word = _last_word(ours)
            finally:
                process.kill()  # it has said its word, or will never
    if word.errno is not None:
        raise OSError(word.errno, word.error, word.file)
    return Ended(how, -9 if word.code is None else word.code, bytes(output[:OUTPUT_MAX]), bytes(errors))


def _collect(
    process: subprocess.Popen[bytes],
    channel: socket.socket,
    output: bytearray,
    errors: bytearray,
    deadline: float,
) -> Literal["exited", "late", "too_much"]:
    """Read both pipes until the keeper says that all is over."""
    assert process.stdout is not None
    assert process.stderr is not None
    pipes = {process.stdout.fileno(): (output, OUTPUT_MAX + 1), process.stderr.fileno(): (errors, ERRORS_MAX)}
    with selectors.DefaultSelector() as selector:
        for fd in (*pipes, channel.fileno()):
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            ready = {key.fd for key, _ in selector.select(left)}
            for fd in ready & pipes.keys():
                if not _read(fd, *pipes[fd]):
                    selector.unregister(fd)
            if len(output) > OUTPUT_MAX:
                return "too_much"
            if ready == {channel.fileno()}:  # over, and no pipe has anything more
                return "exited"
        return "late"


def _last_word(channel: socket.socket) -> _Word:
    """Ask for the end, if it has not come yet, and hear how it was."""
    channel.settimeout(_KEEPER_S)
    try:
        channel.shutdown(socket.SHUT_WR)
        heard = channel.recv(_PIECE)
    except OSError:
        heard = b""
    return msgspec.json.decode(heard, type=_Word) if heard else _Word()


def _read(fd: int, kept: bytearray, most: int) -> bool:
    """Take one piece; False at the end of the pipe."""
    piece = os.read(fd, _PIECE)
    kept += piece[: max(most - len(kept), 0)]
    return bool(piece)
