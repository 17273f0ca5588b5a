"""A spare shim, parked and ready, so that no launch waits for an interpreter."""

import array
import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field

import ardaemon
from ardaemon.host import cgroup, operations, proc
from ardaemon.shim import handover

GONE_S = 1.0  # a killed shim is gone in milliseconds, or hangs in the kernel, where nobody can help

# By -c, so that the shim's own code comes from its cached byte code: compiling it costs half a
# megabyte of every shim. With -I and -S nothing of the user's environment is looked at.
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(ardaemon.__file__)))
_PROGRAM = f"import sys; sys.path.insert(0, {_ROOT!r}); from ardaemon.shim.supervisor import main; main()"


@dataclass
class Spare:
    """A shim that waits for its attempt, and ends by itself when the daemon does."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    tree: cgroup.JobGroup = field(default_factory=cgroup.JobGroup)
    since: int | None = None  # the process's start time (host/proc.py); None if it has ended already

    @classmethod
    def park(cls, pids_max: int | None) -> "Spare":
        """Start a shim in a session of its own, without an environment: no scan for tags may find it.

        `pids_max` limits the processes in the job's cgroup; None: the job gets no cgroup.
        """
        tree = cgroup.JobGroup() if pids_max is None else cgroup.make(pids_max)
        operations.at("spawn", "a spare shim")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            ours.setblocking(False)  # `give` must not wait for a shim that does not read
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _PROGRAM, tree.home, tree.group, tree.pids],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={},
                    cwd="/",
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            _remove(tree)
            raise
        return cls(process, ours, tree, proc.start_time(process.pid))

    @property
    def usable(self) -> bool:
        """Return whether the shim waits and would answer: a stopped one would keep its attempt for ever."""
        return self.process.poll() is None and not proc.stopped(self.process.pid)

    def give(self, spec: bytes, locks: tuple[int, int], leases: tuple[int, ...] = ()) -> None:
        """Hand over the attempt: specification (in memory alone), both locks and any leases, already held."""
        operations.at("give", locks)
        memory = os.memfd_create("attempt")
        try:
            os.write(memory, spec)
            fds = array.array("i", [memory, *locks, *leases])
            self.channel.sendmsg([handover.word(len(fds))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        finally:
            os.close(memory)

    def dismiss(self) -> None:
        """Kill the shim, which has no attempt, and wait for its end; a stopped one ends as well."""
        self.channel.close()
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GONE_S)
        self.clear()

    def clear(self) -> None:
        """Remove the cgroups that were made for the job, if they are empty."""
        _remove(self.tree)


def _remove(tree: cgroup.JobGroup) -> None:
    for folder in {tree.group, tree.pids}:
        cgroup.remove(folder)
