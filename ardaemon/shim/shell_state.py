"""Gives a job the limits, CPUs and priority of the shell from which it was submitted.

What is inherited over exec(2) is this process's own for the moment of the start. What could hurt this process
itself (little memory or CPU time), or could not be taken back (nice), is given to the job once it is there,
unless the job has set it by then: `nice -n 5 python train.py` does within a millisecond. What the kernel
refuses stays as this process has it: the daemon has said so at the submit.

Standard library alone, for the shim.
"""

import os
import resource

from ardaemon.core.shell_state import LIMITS, UNLIMITED, number

TYPE_CHECKING = False  # typing costs more to import than this module
if TYPE_CHECKING:
    from collections.abc import Callable

REFUSED = (OSError, ValueError, OverflowError)
# What this process needs for the moment of a start, with much to spare: seconds, and bytes (it has 20 MiB).
SPARE = {"CPU": 10, "AS": 256 << 20, "DATA": 256 << 20, "FSIZE": 0}


class given:
    """The block starts a process with this state, and then calls `complete` with its pid."""

    def __init__(self, state: "dict | None") -> None:  # type: ignore[type-arg]
        """`state` is a submit's: limits, affinity, nice; None, or a part of it that is not there: our own."""
        state = state or {}
        limits = {name: soft for name, soft in state.get("limits", {}).items() if name in LIMITS}
        self.after = {name: soft for name, soft in limits.items() if 0 <= soft < SPARE.get(name, 0)}
        self.before = {name: soft for name, soft in limits.items() if name not in ("CORE", *self.after)}
        self.core = limits.get("CORE")
        self.cpus, self.nice = state.get("affinity") or (), state.get("nice")

    def core_limit(self, otherwise: int) -> int:
        """Return the shell's soft limit on core files, as far as it may be given; else `otherwise`."""
        if self.core is None:
            return otherwise
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        return self.core if _is_within(self.core, hard) else hard

    def __enter__(self) -> "given":
        self.own = {name: resource.getrlimit(number(name)) for name in self.before}
        self.own_cpus = os.sched_getaffinity(0)
        for name, soft in self.before.items():
            _limit(0, name, soft)
        if self.cpus:
            _try(os.sched_setaffinity, 0, self.cpus)
        return self

    def complete(self, pid: int) -> None:
        """Give the started process the rest, but for what is not as it has inherited it."""
        for name, soft in self.after.items():
            if _soft(pid, name) == _soft(0, name):
                _limit(pid, name, soft)
        own = os.getpriority(os.PRIO_PROCESS, 0)
        if self.nice not in (None, own) and os.getpriority(os.PRIO_PROCESS, pid) == own:
            _try(os.setpriority, os.PRIO_PROCESS, pid, self.nice)

    def __exit__(self, *_: object) -> None:
        for name, both in self.own.items():
            _try(resource.setrlimit, number(name), both)
        _try(os.sched_setaffinity, 0, self.own_cpus)


def _soft(pid: int, name: str) -> int | None:
    """Return the soft limit of a process; None where it has ended by now."""
    try:
        return resource.prlimit(pid, number(name))[0]
    except OSError:
        return None


def _limit(pid: int, name: str, soft: int) -> None:
    """Set a soft limit, with the hard one where this may be raised; else as high as may be."""
    try:
        hard = resource.prlimit(pid, number(name))[1]
    except OSError:
        return  # the job has ended by now
    if not _try(resource.prlimit, pid, number(name), (soft, hard if _is_within(soft, hard) else soft)):
        _try(resource.prlimit, pid, number(name), (hard, hard))


def _try(change: "Callable[..., object]", *given: object) -> bool:
    """Make a change, and tell whether the kernel allows it."""
    try:
        change(*given)
    except REFUSED:
        return False
    return True


def _is_within(soft: int, hard: int) -> bool:
    return hard == UNLIMITED or (soft != UNLIMITED and soft <= hard)
