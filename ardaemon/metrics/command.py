"""One helper command: bounded in time and output, its whole process group gone afterwards."""

import os
import selectors
import signal
import subprocess
import time
from pathlib import Path
from typing import Literal

from msgspec import Struct

OUTPUT_MAX = 1 << 20  # bytes of stdout: some ten thousand metrics
ERRORS_MAX = 64 << 10  # bytes of stderr that are kept; more is read and dropped
_PIECE = 64 << 10  # one read; a pipe's usual size


class Ended(Struct, frozen=True):
    """How it ended; `code` is negative for a signal, as subprocess has it."""

    how: Literal["exited", "late", "too_much"]
    code: int
    output: bytes
    errors: bytes


def run(argv: list[str], folder: Path, environment: dict[str, str], deadline: float) -> Ended:
    """Run `argv` in its own session for at most `deadline` seconds; OSError where it cannot start."""
    process = subprocess.Popen(
        argv,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    output, errors = bytearray(), bytearray()
    with process:
        try:
            how = _collect(process, output, errors, time.monotonic() + deadline)
        finally:
            # Before the first process is reaped, so that the group's number is still its own.
            _kill_group(process.pid)
    return Ended(how, process.returncode, bytes(output[:OUTPUT_MAX]), bytes(errors))


def _collect(
    process: subprocess.Popen[bytes], output: bytearray, errors: bytearray, deadline: float
) -> Literal["exited", "late", "too_much"]:
    """Read both pipes until the first process ends: what it leaves behind may hold them open for ever."""
    assert process.stdout is not None
    assert process.stderr is not None
    pipes = {process.stdout.fileno(): (output, OUTPUT_MAX + 1), process.stderr.fileno(): (errors, ERRORS_MAX)}
    pidfd = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            for fd in (*pipes, pidfd):
                os.set_blocking(fd, False)
                selector.register(fd, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(left)}
                for fd in ready & pipes.keys():
                    if not _read(fd, *pipes[fd]):
                        selector.unregister(fd)
                if len(output) > OUTPUT_MAX:
                    return "too_much"
                if ready == {pidfd}:  # ended, and no pipe has anything more
                    return "exited"
            return "late"
    finally:
        os.close(pidfd)


def _read(fd: int, kept: bytearray, most: int) -> bool:
    """Take one piece; False at the end of the pipe."""
    piece = os.read(fd, _PIECE)
    kept += piece[: max(most - len(kept), 0)]
    return bool(piece)


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass
