"""Runs one helper command, bounded in time and output. All its processes end with it, or with the daemon."""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

import ardaemon
from ardaemon.host import cgroup
from ardaemon.host.keeper import TERMINATE

TAIL_MAX = 64 << 10  # bytes of the end of both streams, where only that is asked for
OUTPUT_MAX = 1 << 20  # bytes of stdout: some ten thousand metrics
ERRORS_MAX = 64 << 10  # bytes of stderr that are kept; more is read and dropped
_PIECE = 64 << 10  # bytes of one read; a pipe's usual size
_REPORT_S = 5.0  # for the keeper's report, beyond its grace and its verification

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(ardaemon.__file__)))
_KEEPER = f"import sys; sys.path.insert(0, {_ROOT!r}); from ardaemon.host.keeper import main; main()"


class KillPolicy(Struct, frozen=True):
    """How a command is ended. Times are seconds.

    `grace`: between TERM and KILL; at 0 there is no TERM. `pids_max`: the processes that it may have, in a
    cgroup of its own; None: it gets no cgroup. A daemon that stops or dies has it killed at once.
    """

    grace: float = 0.0
    verify: float = 5.0  # for killed processes to be gone; one in uninterruptible sleep may take longer
    pids_max: int | None = None


class CommandEnd(Struct, frozen=True):
    """The end of a command: how it came, and what was printed; `code` is negative for a signal.

    `wanted`: the daemon has asked for it. `verified`: nothing of the command is left; else it may be found in
    the cgroup `tree`, if there is one.
    """

    how: Literal["exited", "late", "too_much"]
    code: int
    output: bytes
    errors: bytes
    wanted: bool = False
    verified: bool = True
    tree: str = ""


def signal_name(number: int) -> str:
    """Return a signal's name, as SIGKILL."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _KeeperReport(Struct, frozen=True):
    """The keeper's report at the end: the command's code, or the error that kept it from starting."""

    code: int | None = None
    clear: bool = False  # nothing is left
    exited: bool = False  # before anybody asked for it
    errno: int | None = None
    error: str = ""
    file: str = ""


class _Keeper(NamedTuple):
    """A keeper, and the channel to it."""

    process: subprocess.Popen[bytes]
    channel: socket.socket

    def terminate(self) -> None:
        """Ask the keeper to end its command by its policy."""
        with suppress(OSError):  # it has reported, and ended
            self.channel.send(TERMINATE)
        self._wake()

    def kill(self) -> None:
        """Have the keeper kill its command at once, as it does when this daemon dies."""
        with suppress(OSError):
            self.channel.shutdown(socket.SHUT_WR)
        self._wake()

    def _wake(self) -> None:
        """Wake the keeper if it is stopped: it alone can end the whole command."""
        self.process.send_signal(signal.SIGCONT)

    def reap(self) -> None:
        """Kill the keeper: it has reported, or never will. Do not wait for one that hangs in the kernel."""
        self.process.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:  # both streams may go into one
                pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_REPORT_S)


class Kept:
    """What is kept of a stream: the first bytes of it, or the last."""

    def __init__(self, most: int, *, last: bool = False) -> None:
        """Keep at most `most` bytes."""
        self.most, self.last, self.data = most, last, bytearray()

    def add(self, piece: bytes) -> None:
        """Take what was read next."""
        self.data += piece if self.last else piece[: max(self.most - len(self.data), 0)]
        if self.last:
            del self.data[: -self.most]


class Commands:
    """Commands that run now and can be ended together, from any thread; by their policies, or `at_once`."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.at_once = at_once
        self.lock = threading.Lock()  # each command is run by a thread of its own
        self.keepers: set[_Keeper] = set()
        self.over = False

    @contextmanager
    def listed(self, keeper: _Keeper) -> Iterator[None]:
        """Keep a command's keeper in the list for the time of the block."""
        with self.lock:
            self.keepers.add(keeper)
            if self.over:
                self._end(keeper)
        try:
            yield
        finally:
            with self.lock:
                self.keepers.discard(keeper)

    def end(self) -> None:
        """End all commands, and each that begins from now on."""
        with self.lock:
            self.over = True
            for keeper in self.keepers:
                self._end(keeper)

    def _end(self, keeper: _Keeper) -> None:
        if self.at_once:
            keeper.kill()
        else:
            keeper.terminate()


_under_way = Commands(at_once=True)  # all of the daemon: one that stops need not wait for them


def end_all() -> None:
    """End every command, because this daemon stops; the next one runs them again."""
    _under_way.end()


def run(
    argv: list[str],
    folder: Path,
    environment: dict[str, str],
    deadline: float,
    group: Commands | None = None,
    tail: bool = False,
    policy: KillPolicy = KillPolicy(),  # noqa: B008  # frozen
    stdin: int = subprocess.DEVNULL,
) -> CommandEnd:
    """Run `argv` under a keeper for at most `deadline` seconds. Raises OSError if it cannot start.

    `group` can end it before. `tail`: of all that it prints, on both streams, the end is kept as `output`.
    `stdin`: a descriptor of what it reads.
    """
    group = group or Commands()
    output = Kept(TAIL_MAX, last=True) if tail else Kept(OUTPUT_MAX + 1)
    errors = Kept(ERRORS_MAX)
    with _tree(policy.pids_max) as tree:
        with (
            _kept(argv, folder, environment, _told(policy, tree), stdin, tail) as keeper,
            _under_way.listed(keeper),
            group.listed(keeper),
        ):
            how = _collect(keeper, output, errors, time.monotonic() + deadline)
            report = _report(keeper, policy.grace + policy.verify + _REPORT_S)
        if report.errno is not None:
            raise OSError(report.errno, report.error, report.file)
        if not report.clear and tree.group:
            cgroup.kill(tree.group)  # the keeper is dead, or has given up
    return CommandEnd(
        how="exited" if how == "late" and report.exited else how,  # late was what it left behind
        code=-9 if report.code is None else report.code,
        output=bytes(output.data[:OUTPUT_MAX]),
        errors=bytes(errors.data),
        wanted=group.over or _under_way.over,
        verified=report.clear,
        tree=tree.group,
    )


@contextmanager
def _tree(pids_max: int | None) -> Iterator[cgroup.JobGroup]:
    """Make the command's cgroups, if it gets any; remove them after the block, if they are empty."""
    tree = cgroup.JobGroup() if pids_max is None else cgroup.make(pids_max)
    try:
        yield tree
    finally:
        for made in {tree.group, tree.pids}:
            cgroup.remove(made)


def _told(policy: KillPolicy, tree: cgroup.JobGroup) -> str:
    """Return what the keeper is told of its command's end."""
    names = [tree.home, tree.group, tree.pids]
    return json.dumps({"grace": policy.grace, "verify": policy.verify, "tree": names})


@contextmanager
def _kept(
    argv: list[str], folder: Path, environment: dict[str, str], told: str, stdin: int, tail: bool
) -> Iterator[_Keeper]:
    """Start a keeper, which starts the command; it is gone after the block."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        number = theirs.fileno()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _KEEPER, str(number), told, *argv],
            cwd=folder,
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if tail else subprocess.PIPE,
            bufsize=0,
            pass_fds=[number],
            start_new_session=True,
        )
        theirs.close()
        keeper = _Keeper(process, ours)
        try:
            yield keeper
        finally:
            keeper.reap()


def _collect(
    keeper: _Keeper, output: Kept, errors: Kept, deadline: float
) -> Literal["exited", "late", "too_much"]:
    """Read both pipes until the keeper reports the end, the deadline has come or the output is too long."""
    pipes = {
        pipe.fileno(): kept
        for pipe, kept in ((keeper.process.stdout, output), (keeper.process.stderr, errors))
        if pipe is not None
    }
    with selectors.DefaultSelector() as selector:
        for fd in (*pipes, keeper.channel.fileno()):
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            ready = {key.fd for key, _ in selector.select(left)}
            for fd in ready & pipes.keys():
                if not _read(fd, pipes[fd]):
                    selector.unregister(fd)
            if len(output.data) > OUTPUT_MAX:
                return "too_much"
            if ready == {keeper.channel.fileno()}:  # the command is over, and no pipe has anything more
                return "exited"
        return "late"


def _report(keeper: _Keeper, seconds: float) -> _KeeperReport:
    """Have the keeper end the command, if it has not ended yet, and return the keeper's report."""
    keeper.channel.settimeout(seconds)
    keeper.terminate()
    try:
        data = keeper.channel.recv(_PIECE)
    except OSError:
        data = b""
    return msgspec.json.decode(data, type=_KeeperReport) if data else _KeeperReport()


def _read(fd: int, kept: Kept) -> bool:
    """Read one piece of a pipe, and return False at the pipe's end."""
    piece = os.read(fd, _PIECE)
    kept.add(piece)
    return bool(piece)
