"""Daemons, their helpers and clients by the hundred: forked from one process that has imported everything.

Each is the same code in a process of its own, with its own environment, folder and descriptors; only the
interpreter's start is shared. `arctl` starts its daemons, and these their
helpers, as users have them.
"""

import array
import atexit
import contextlib
import ctypes
import errno
import fcntl
import functools
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TextIO

from arctl.cli import COMMANDS

MESSAGE_MAX = 1 << 20  # an environment
ROOT = Path(__file__).parents[2]
# What a forged daemon can run, and the module whose main() that is.
PROGRAMS = {
    "ardaemon": "ardaemon.__main__",
    **{name: name for name in ("tests.support.faulty", "tests.support.prompt", "tests.support.shared")},
}
# What a daemon does at its first need, and what it starts: its shims, and the process that reads train.py.
OF_A_DAEMON = ("tests.support.warmed", "ardaemon.shim.supervisor", "ardaemon.source.worker")
HELPER = "a daemon's helper"  # in the place of a program's name
CLIENT, CLIENT_MAIN = "arctl", "arctl.__main__"
READY_FD = 3  # of a daemon, where it says that it listens
HELPERS_FD = 4  # of a daemon, where it asks for its helpers
FDS_MAX = 4
LIMITS = {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
SIGNALS_MAX = 4096  # read at once; one look finds every child that has ended
AT_START = ("PYTHON", "LC_", "LANG", "LD_PRELOAD", "LD_AUDIT")
_PROGRAM = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r});"
    " from tests.support.forge import main; main(*sys.argv[2:])"
)
# Room for what ps(1) and /proc show of a daemon: its command line, and its environment.
ROOM = "." * (16 << 10)
STATUS = struct.Struct("i")
_LIBC = ctypes.CDLL(None, use_errno=True)


class Order(NamedTuple):
    """What is to be run, and in which surroundings."""

    program: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str = "."
    leads: bool = True  # a session of its own
    umask: int = 0o022
    inside: int = 0  # the process whose mount namespace it enters; 0: none
    helps: bool = False  # a daemon's helpers come from the forge as well
    starter: int = 0  # of a helper: the daemon whose limits it has, as its child would


class Forked:
    """A process that was forged, with as much of Popen as the tests need."""

    def __init__(self, pid: int, pidfd: int, ending: int) -> None:
        self.pid, self.pidfd, self.ending = pid, pidfd, ending
        self.returncode: int | None = None
        self._reading = threading.Lock()

    def poll(self) -> int | None:
        """None while it lives, else its exit code, as Popen has it."""
        return self._code() if self._has_ended(0) else None

    def wait(self, timeout: float | None) -> int:
        """Until it has ended; its exit code."""
        if not self._has_ended(timeout):
            raise subprocess.TimeoutExpired("a forged process", timeout or 0)
        return self._code()

    def kill(self) -> None:
        """SIGKILL."""
        self.send(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send(signal.SIGTERM)

    def _has_ended(self, timeout: float | None) -> bool:
        return self.returncode is not None or bool(select.select([self.pidfd], [], [], timeout)[0])

    def _code(self) -> int:
        with self._reading:  # what is read once is gone for another thread that asks
            if self.returncode is None:
                status = STATUS.unpack(os.read(self.ending, STATUS.size))[
                    0
                ]  # its parent is about to write it
                self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def send(self, number: signal.Signals) -> None:
        """Send this signal, unless it has ended."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass  # it has ended

    def __del__(self) -> None:
        os.close(self.pidfd)
        os.close(self.ending)


class Orders:
    """The way to a process that forks; it may be used by several threads."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel, self.lock = channel, threading.Lock()

    def fork(self, order: Order, fds: list[int]) -> Forked:
        """Run what is ordered, with these descriptors as its 0, 1, 2 and 3."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        with self.lock:
            self.channel.sendmsg([json.dumps(order._replace(umask=_umask())).encode()], ancillary)
            word, found, _, _ = socket.recv_fds(self.channel, 64, 2)
        if not word or len(found) != 2:  # it could not fork; or there is no descriptor left here
            for fd in found:
                os.close(fd)
            raise OSError(errno.EAGAIN, "no process could be forked")
        return Forked(int(word), *found)


class Forge(Orders):
    """The process that forks them, once it has imported what they need."""

    def __init__(self, flag: str, environment: Mapping[str, str], *modules: str) -> None:
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        super().__init__(channel)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, flag, "-c", _PROGRAM, ROOM, *modules],
                stdin=theirs.fileno(),
                env={**environment, "PATH": os.defpath, "ROOM": ROOM},
            )

    def start(
        self, program: str, environment: dict[str, str], ready: int, stderr: int, *, helps: bool
    ) -> Forked:
        """Run `PROGRAM serve` with this environment; its ready line goes to `ready`."""
        arguments = ["serve", "--ready-fd", str(READY_FD)]
        with open(os.devnull, "rb") as null:
            return self.fork(
                Order(program, arguments, environment, helps=helps), [null.fileno(), stderr, stderr, ready]
            )

    def close(self) -> None:
        """No more processes; those that live go on."""
        self.channel.close()
        self.process.wait(10)


def _umask() -> int:
    """Return the umask of this process, which a process of its own would have from it (proc(5), status).

    umask(2) itself would change it for a moment, for every thread.
    """
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return int(next(line for line in file if line.startswith("Umask:")).split()[1], 8)


@functools.cache
def daemons() -> Forge:
    """Return the one of this test process that forks daemons, made when it is first needed."""
    return _made("-I", {}, "ardaemon.cli", "ardaemon.daemon", *PROGRAMS.values(), *OF_A_DAEMON)


@functools.cache
def clients() -> Forge:
    """Return the one that forks `arctl`: a daemon is as large as what is in its forge."""
    return _of_client(*(f"arctl.commands.{module}" for module, _ in COMMANDS.values()))


@functools.cache
def servers() -> Forge:
    """Return the one that forks `arctl mcp`, whose imports take a second."""
    return _of_client("arctl.commands.mcp", "arctl.mcp.server", "rich.logging", "anyio._backends._asyncio")


def _of_client(*modules: str) -> Forge:
    return _made("-P", at_start({**os.environ, "PYTHONPATH": str(ROOT)}), CLIENT_MAIN, *modules)


def at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what an interpreter reads of this environment when it starts."""
    return {name: value for name, value in environment.items() if name.startswith(AT_START)}


def _made(flag: str, environment: Mapping[str, str], *modules: str) -> Forge:
    forge = Forge(flag, environment, *modules)
    atexit.register(forge.close)
    return forge


# --- in the process that forks ---

_endings: dict[int, int] = {}  # of each process, where its end is written


def main(*modules: str) -> None:
    """Fork a process for every message, until the tests are over."""
    for name in modules:
        importlib.import_module(name)
    gc.freeze()
    first, woken = socket.socket(fileno=0), _woken()
    channels = [first]  # the tests', and one of each daemon that lives
    while first in channels:
        ready, _, _ = select.select([*channels, woken], [], [])
        if woken in ready:
            woken.recv(SIGNALS_MAX)
            _reap()
        for channel in ready:
            if channel is not woken:
                _answer(channel, channels)


def _answer(channel: socket.socket, channels: list[socket.socket]) -> None:
    """Fork what is ordered; a channel whose other side is gone is none any more."""
    try:
        message, fds, _, _ = socket.recv_fds(channel, MESSAGE_MAX, FDS_MAX)
        if message:
            _forked(Order(*json.loads(message)), fds, channel, channels)
    except OSError:  # a daemon that was killed meanwhile
        message = b""
    if not message:
        channels.remove(channel)
        channel.close()


def _forked(order: Order, fds: list[int], channel: socket.socket, channels: list[socket.socket]) -> None:
    """Fork a process; a daemon that is helped gets a channel of its own as its last descriptor."""
    given = list(fds)
    if order.helps:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channels.append(ours)
        given.append(theirs.detach())
    try:
        ends = _fork(order, given, channel)
    finally:
        for fd in given:
            os.close(fd)
    for fd in ends:
        os.close(fd)


def _woken() -> socket.socket:
    """Return where a byte comes for each child that ends; a handler's turn could come a message too late."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    return reader


def _fork(order: Order, fds: list[int], channel: socket.socket) -> tuple[int, int]:
    """Fork a process, and send its pid, a descriptor of it, and one where its end can be read."""
    begun, begin = os.pipe()
    ending, ended = os.pipe()
    taken, taking = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.read(begun, 1)  # its pidfd is open: it may live, and die
        _become(order, fds)
    _endings[pid] = ended
    pidfd = os.pidfd_open(pid)
    os.write(begin, b".")
    os.close(taking)
    os.read(taken, 1)  # its end: the process has the descriptors that it was given, and no other
    os.close(taken)
    socket.send_fds(channel, [str(pid).encode()], [pidfd, ending])
    os.close(begun)
    os.close(begin)
    return pidfd, ending


def _reap() -> None:
    """Collect every process that has ended, and tell its test how."""
    for pid in list(_endings):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            ended = _endings.pop(pid)
            try:
                os.write(ended, STATUS.pack(status))
            except BrokenPipeError:
                pass  # nobody wants to know
            os.close(ended)


# --- in the process that was forked ---


def _become(order: Order, fds: list[int]) -> NoReturn:
    code = 1
    try:
        _take(fds)
        if order.leads:
            os.setsid()
        if order.inside:
            _enter(order.inside)
        os.chdir(order.folder)
        os.umask(order.umask)
        BECOMES.get(order.program, _serve)(order)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _enter(pid: int) -> None:
    """Enter the mount namespace of a process, as nsenter(1) does; os.setns comes with Python 3.12."""
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    if _LIBC.setns(namespace, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"the mount namespace of {pid}")
    os.close(namespace)


def _take(fds: list[int]) -> None:
    """Make these the descriptors 0, 1, 2 and so on, and close all others."""
    apart = [fcntl.fcntl(fd, fcntl.F_DUPFD, 2 * FDS_MAX) for fd in fds]
    for number, fd in enumerate(apart):
        os.dup2(fd, number)
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd >= len(fds):
            with contextlib.suppress(OSError):  # where the list itself was read
                os.close(fd)


def _serve(order: Order) -> None:
    from ardaemon.core import isolated
    from tests.support import helpers

    if order.helps:
        helpers.come_from(Orders(socket.socket(fileno=HELPERS_FD)))
    environment = order.environment
    if order.program == "ardaemon":  # which replaces itself by an isolated one (core/isolated.py)
        environment = isolated.environment(environment, isolated.FROM_SYSTEMD)
    _run(PROGRAMS[order.program], isolated.command(*order.arguments), order, environment)


def _command(order: Order) -> None:
    sys.stdin, sys.stdout, sys.stderr = (
        _anew(sys.stdin, "r"),
        _anew(sys.stdout, "w"),
        _anew(sys.stderr, "w", 1),
    )
    _run(CLIENT_MAIN, [sys.executable, "-m", CLIENT, *order.arguments], order, order.environment)


def _help(order: Order) -> None:
    """Run the program that the helper's command line holds, with what it would have of its daemon."""
    for limit in LIMITS:
        resource.setrlimit(limit, resource.prlimit(order.starter, limit))
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, order.starter))
    sys.stdin, sys.stdout = _anew(sys.stdin, "r"), _anew(sys.stdout, "w")
    _surround([sys.executable, *order.arguments], order.environment)
    sys.argv = ["-c", *order.arguments[4:]]
    exec(order.arguments[3], {"__name__": "__main__"})


BECOMES = {CLIENT: _command, HELPER: _help}


def _anew(stream: TextIO, mode: str, buffering: int = -1) -> Any:
    """Open a standard stream as an interpreter does at its start, which looks whether it is a terminal."""
    return open(stream.fileno(), mode, buffering, stream.encoding, stream.errors, closefd=False)


def _run(module: str, command: list[str], order: Order, environment: dict[str, str]) -> None:
    _surround(command, environment)
    time.tzset()
    sys.argv = [order.program, *order.arguments]
    importlib.import_module(module).main()


def _surround(command: list[str], environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    _show(command, [f"{name}={value}" for name, value in environment.items()])


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
