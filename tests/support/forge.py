"""Daemons by the dozen: forked from one process that has imported everything, so that a boot takes 40 ms.

The same code in a process of its own, with its own environment, session and descriptors; only the
interpreter's start is shared. `arctl` starts its daemons as users have them.
"""

import array
import atexit
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

MESSAGE_MAX = 1 << 20  # an environment
ROOT = Path(__file__).parents[2]
# Each is a module with a main(): what a forged daemon can run.
PROGRAMS = ("ardaemon", "tests.support.faulty")
_PROGRAM = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.support.forge import main; main()"
# Room for what ps(1) and /proc show of a daemon: its command line, and its environment.
ROOM = "." * (16 << 10)
STATUS = struct.Struct("i")


class Forked:
    """A daemon that was forged, with as much of Popen as the tests need."""

    def __init__(self, pid: int, pidfd: int, ending: int) -> None:
        self.pid, self.pidfd, self.ending = pid, pidfd, ending
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """None while it lives, else its exit code, as Popen has it."""
        return self._code() if self._has_ended(0) else None

    def wait(self, timeout: float) -> int:
        """Until it has ended; its exit code."""
        if not self._has_ended(timeout):
            raise subprocess.TimeoutExpired("the daemon", timeout)
        return self._code()

    def kill(self) -> None:
        """SIGKILL."""
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self._send(signal.SIGTERM)

    def _has_ended(self, timeout: float) -> bool:
        return self.returncode is not None or bool(select.select([self.pidfd], [], [], timeout)[0])

    def _code(self) -> int:
        if self.returncode is None:
            status = STATUS.unpack(os.read(self.ending, STATUS.size))[0]  # its parent is about to write it
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def _send(self, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass  # it has ended

    def __del__(self) -> None:
        os.close(self.pidfd)
        os.close(self.ending)


class Forge:
    """The process that forks them."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", _PROGRAM, ROOM],
                stdin=theirs.fileno(),
                env={"PATH": os.defpath, "ROOM": ROOM},
            )

    def start(self, program: str, environment: dict[str, str], ready: int, stderr: int) -> Forked:
        """Run `PROGRAM serve` with this environment; its ready line goes to `ready`."""
        fds = array.array("i", [ready, stderr])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        self.channel.sendmsg([json.dumps([program, environment, _umask()]).encode()], ancillary)
        word, found, _, _ = socket.recv_fds(self.channel, 64, 2)
        return Forked(int(word), *found)

    def close(self) -> None:
        """No more daemons; those that live go on."""
        self.channel.close()
        self.process.wait(10)


def _umask() -> int:
    """Return the umask of this process, which a process of its own would have from it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


_forges: list[Forge] = []


def shared() -> Forge:
    """The one of this test process, made when it is first needed."""
    if not _forges:
        _forges.append(Forge())
        atexit.register(_forges[0].close)
    return _forges[0]


# --- in the process that forks ---

_endings: dict[int, int] = {}  # of each daemon, where its end is written


def main() -> None:
    """Fork a daemon for every message, until the tests are over."""
    for name in ("ardaemon.__main__", "ardaemon.cli", "ardaemon.daemon", "tests.support.faulty"):
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
    channel = socket.socket(fileno=0)
    while True:
        message, fds, _, _ = socket.recv_fds(channel, MESSAGE_MAX, 2)
        if not message:
            return
        pidfd, ending = _fork(message, fds, channel)
        for fd in (*fds, pidfd, ending):
            os.close(fd)


def _fork(message: bytes, fds: list[int], channel: socket.socket) -> tuple[int, int]:
    """Fork a daemon, and send its pid, a descriptor of it, and one where its end can be read."""
    begun, begin = os.pipe()
    ending, ended = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.read(begun, 1)  # its pidfd is open: it may live, and die
        unwanted = [channel.fileno(), begun, begin, ending, ended, *_endings.values()]
        _become(message, fds[0], fds[1], unwanted)
    _endings[pid] = ended
    pidfd = os.pidfd_open(pid)
    os.write(begin, b".")
    socket.send_fds(channel, [str(pid).encode()], [pidfd, ending])
    os.close(begun)
    os.close(begin)
    return pidfd, ending


def _reap(*_: object) -> None:
    """Collect every daemon that has ended, and tell its test how."""
    for pid in list(_endings):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            ended = _endings.pop(pid)
            try:
                os.write(ended, STATUS.pack(status))
            except BrokenPipeError:
                pass  # nobody wants to know
            os.close(ended)


# --- in the daemon ---


def _become(message: bytes, ready: int, stderr: int, unwanted: list[int]) -> NoReturn:
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(stderr, 1)
        os.dup2(stderr, 2)
        for fd in (*unwanted, null, stderr):
            if fd > 2:
                os.close(fd)
        program, environment, umask = json.loads(message)
        os.umask(umask)
        _serve(program, environment, ready)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _serve(program: str, environment: dict[str, str], ready: int) -> None:
    from ardaemon.core import isolated

    arguments = ("serve", "--ready-fd", str(ready))
    if program == "ardaemon":  # which replaces itself by an isolated one (core/isolated.py)
        environment = isolated.environment(environment, isolated.FROM_SYSTEMD)
    os.environ.clear()
    os.environ.update(environment)
    _show(isolated.command(*arguments), [f"{name}={value}" for name, value in environment.items()])
    time.tzset()
    sys.argv = ["ardaemon", *arguments]
    importlib.import_module("ardaemon.__main__" if program == "ardaemon" else program).main()


def _show(command: list[str], environment: list[str]) -> None:
    """Show in /proc what a daemon does that was started by itself: cmdline and environ of proc(5)."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    arguments_at, arguments_end, environment_at, environment_end = map(int, fields[45:49])
    for at, end, words in (
        (arguments_at, arguments_end, command),
        (environment_at, environment_end, environment),
    ):
        text = b"".join(os.fsencode(word) + b"\0" for word in words)
        assert len(text) <= end - at, "forge.ROOM is too small"
        ctypes.memset(at, 0, end - at)
        ctypes.memmove(at, text, len(text))


if __name__ == "__main__":
    main()
