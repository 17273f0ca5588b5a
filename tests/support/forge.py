"""Daemons by the dozen: forked from one process that has imported everything, so that a boot takes 40 ms.

The same code in a process of its own, with its own environment, session and descriptors; only the
interpreter's start is shared. For tests that boot thousands.
"""

import array
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

MESSAGE_MAX = 1 << 20  # an environment
ROOT = Path(__file__).parents[2]


class Forked:
    """A daemon that was forged, with as much of Popen as the lab needs."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid, self.pidfd = pid, pidfd

    def poll(self) -> int | None:
        """None while it lives."""
        return 0 if select.select([self.pidfd], [], [], 0)[0] else None

    def kill(self) -> None:
        """SIGKILL."""
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass  # it has ended

    def wait(self, timeout: float) -> None:
        """Until it has ended."""
        if not select.select([self.pidfd], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("the daemon", timeout)

    def __del__(self) -> None:
        os.close(self.pidfd)


class Forge:
    """The process that forks them."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forge"],
                stdin=theirs.fileno(),
                env={"PYTHONPATH": str(ROOT), "PATH": os.defpath},
            )

    def start(self, environment: dict[str, str], ready: int, stderr: int) -> Forked:
        """`ardaemon serve` with this environment, its ready line to `ready`."""
        fds = array.array("i", [ready, stderr])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        self.channel.sendmsg([json.dumps(environment).encode()], ancillary)
        word, found, _, _ = socket.recv_fds(self.channel, 64, 1)
        return Forked(int(word), found[0])

    def close(self) -> None:
        """No more daemons; those that live go on."""
        self.channel.close()
        self.process.wait(10)


def main() -> None:
    """Fork a daemon for every message, until the tests are over."""
    from tests.support import faulty  # and with it everything that a daemon imports

    faulty.load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody is to find a zombie
    channel = socket.socket(fileno=0)
    while True:
        message, fds, _, _ = socket.recv_fds(channel, MESSAGE_MAX, 2)
        if not message:
            return
        begun, begin = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.read(begun, 1)  # its pidfd is open: it may live, and die
            _become(json.loads(message), fds[0], fds[1], [channel.fileno(), begun, begin])
        pidfd = os.pidfd_open(pid)
        os.write(begin, b".")
        socket.send_fds(channel, [str(pid).encode()], [pidfd])
        for fd in (*fds, pidfd, begun, begin):
            os.close(fd)


def _become(environment: dict[str, str], ready: int, stderr: int, unwanted: list[int]) -> NoReturn:
    from tests.support import faulty

    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        for fd, target in ((null, 0), (stderr, 1), (stderr, 2)):
            os.dup2(fd, target)
        for fd in (*unwanted, null, stderr):
            if fd > 2:
                os.close(fd)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["ardaemon", "serve", "--ready-fd", str(ready)]
        faulty.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
