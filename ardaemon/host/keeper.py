"""The process between the daemon and one command, all of which it ends when the daemon wants it or dies.

`keeper FD POLICY PROGRAM ARGUMENT…`: FD is a socket whose other end the daemon alone holds, and POLICY a JSON
text (host/command.py). When the program has ended, or when the daemon says so on the socket, the keeper ends
every process that the program left: with TERM and a grace first, where POLICY has one. When that other end
is closed, the daemon stops or is dead, and they are killed at once. Then the keeper sends a JSON text that
says how it ended. It is a child subreaper, as host/descendants.py wants it. Standard library alone.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time

from ardaemon.host.cgroup import JobGroup
from ardaemon.host.descendants import Descendants

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
TERMINATE = b"t"  # the daemon's word on the socket


def main() -> None:
    """Start the program, wait for its end or the daemon's word, end what is left, and report how it ended."""
    channel, policy, argv = int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
    os.set_inheritable(channel, False)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    tree = JobGroup(*policy["tree"])
    tree.enter()
    keeper = Keeper(channel, tree)
    try:
        keeper.start(argv)
    except OSError as error:
        report: dict[str, object] = {"errno": error.errno, "error": error.strerror, "file": argv[0]}
    else:
        clear = keeper.keep(policy["grace"], policy["verify"])
        report = {"code": keeper.code, "clear": clear, "exited": keeper.exited}
    try:
        os.write(channel, json.dumps(report).encode())
    except OSError:
        pass  # the daemon is gone
    os._exit(0)


class Keeper:
    """The work on one command."""

    def __init__(self, channel: int, tree: JobGroup) -> None:
        self.channel = channel
        self.below = Descendants(tree, self._reap, self._pause)
        self.pid, self.code = 0, None  # type: int, int | None
        self.exited = False  # the program ended before anybody asked for it
        self.asked = False
        self.alone = False  # the daemon stops, or is dead
        self.wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def start(self, argv: list[str]) -> None:
        """Start the program. Raises OSError if that cannot be done."""
        # The environment as it was given: os.environ of an interpreter in the C locale has more in it
        # (PEP 538).
        with open("/proc/self/environ", "rb") as file:
            pairs = [item.partition(b"=") for item in file.read().split(b"\0") if item]
        environment = {name: value for name, _, value in pairs}
        ignored = (signal.SIGPIPE,)  # Python ignores it, and a child would too
        self.pid = os.posix_spawnp(argv[0], argv, environment, setpgroup=0, setsigdef=ignored)

    def keep(self, grace: float, verify: float) -> bool:
        """Wait until the program has ended or must end, end what is left; return whether nothing is left."""
        while not (self._ended() or self.asked or self.alone):
            self._pause(None)
        self.exited = self.code is not None
        if self.below.gone() or (grace > 0 and not self.alone and self._politely(grace)):
            return True
        return not self.below.kill(verify)

    def _ended(self) -> bool:
        self._reap()
        return self.code is not None

    def _politely(self, grace: float) -> bool:
        if self.exited:
            self.below.terminate_each()
        else:
            self.below.terminate(self.pid)
        return self.below.empty_by(time.monotonic() + grace, lambda: self.alone)

    def _pause(self, seconds: float | None) -> None:
        """Sleep until a signal or a word of the daemon, or for `seconds`."""
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        if not self.alone:  # at its end a socket is readable for ever
            poll.register(self.channel, select.POLLIN)
        ready = dict(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))
        if self.channel in ready:
            self._listen()
        if self.wake in ready:
            os.read(self.wake, 4096)

    def _listen(self) -> None:
        try:
            word = os.read(self.channel, 1)
        except OSError:
            word = b""
        self.asked = self.asked or word == TERMINATE
        self.alone = word == b""

    def _reap(self) -> bool:
        """Reap every child that has ended; return whether no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self.pid:
                self.code = os.waitstatus_to_exitcode(status)
