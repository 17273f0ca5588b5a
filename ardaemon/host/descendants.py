"""Ends all processes below this one, politely at first, and verifies that none is left.

This process has to be a child subreaper (prctl(2)): every descendant that outlives its parent becomes its
child then, so it has no child left exactly when no descendant is left. Where they live in a cgroup, their end
is brought about and verified by the cgroup as well.

The shim and the keeper of a command use this module, so it imports the standard library alone.
"""

import os
import time

from ardaemon.host import cgroup, operations, proc, signals

TYPE_CHECKING = False  # typing costs more to import than this module
if TYPE_CHECKING:
    from collections.abc import Callable

KILL_POLL_S = 0.02  # after KILL: the end of a grandchild whose parent lives sends no SIGCHLD here
CHASE_ROUNDS = 100  # per walk, some milliseconds: for processes that fork faster than a walk sees them
UNSEEN = (0, 0, "it forks faster than it is found")  # a process is left, and no walk has met it


class Descendants:
    """The processes below this one, and those in `tree`. All times are CLOCK_MONOTONIC seconds.

    `reap` reaps every child that has ended, and returns whether no child is left. `pause` sleeps until a
    signal, for so many seconds at most.
    """

    def __init__(
        self, tree: cgroup.JobGroup, reap: "Callable[[], bool]", pause: "Callable[[float], None]"
    ) -> None:
        self.tree, self.reap, self.pause = tree, reap, pause

    def terminate(self, leader: int) -> None:
        """Send TERM once to each process: to the leader's group in one step, and to all that left it.

        The leader, a child, must not have been reaped: its pid could be another group's by then.
        """
        elsewhere = {p: start for p, start in proc.descendants(os.getpid()).items() if not _within(leader, p)}
        for number in (signals.SIGTERM, signals.SIGCONT):
            signal_group(leader, number)
        for pid, start in elsewhere.items():
            _polite(pid, start)

    def terminate_each(self) -> None:
        """Send TERM to each process, where the leader has ended."""
        for pid, start in proc.descendants(os.getpid()).items():
            _polite(pid, start)

    def empty_by(self, deadline: float, unless: "Callable[[], bool]" = lambda: False) -> bool:
        """Wait until nothing is left; return False at the deadline, or as soon as `unless` is true."""
        while not self.gone():
            left = deadline - time.monotonic()
            if left <= 0 or unless():
                return False
            self.pause(left)
        return True

    def gone(self) -> bool:
        """Return whether no child is left, and so no descendant, and nothing in the cgroup either."""
        return self.reap() and self.tree.empty()

    def kill(self, verify: float) -> list[tuple[int, int, str]]:
        """KILL until nothing is left, for `verify` seconds at most.

        Returns the survivors as pid, start time and name.
        """
        deadline = time.monotonic() + verify
        self.tree.leave()
        while not self.gone():
            living = proc.descendants(os.getpid()) | self.tree.living()
            self.tree.kill()
            for pid, start in living.items():
                proc.send(pid, start, signals.SIGKILL)
            self._chase()
            if time.monotonic() > deadline:
                return [(pid, start, proc.name(pid)) for pid, start in living.items()] or [UNSEEN]
            self.pause(KILL_POLL_S)
        return []

    def _chase(self) -> None:
        """KILL this process's children, again and again: who outlives its parent becomes one of them."""
        for _ in range(CHASE_ROUNDS):
            if self.reap():
                return
            proc.kill_children()


def signal_group(leader: int, number: int) -> None:
    """Send a signal to a process group, if it is there and may be signalled."""
    try:
        operations.signal_group(leader, number)
    except (ProcessLookupError, PermissionError):
        pass


def _polite(pid: int, start: int) -> None:
    proc.send(pid, start, signals.SIGTERM)
    proc.send(pid, start, signals.SIGCONT)  # a stopped process cannot answer TERM


def _within(group: int, pid: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return True  # gone: it needs no signal
