"""Keep a process's memory to itself: no core file, and no look into it by another process of the user.

The memory of the daemon and of a shim holds environments of runs, so the users' keys. Standard library
alone, for the shim.
"""

import ctypes
import resource

PR_SET_DUMPABLE = 4  # linux/prctl.h


def forbid() -> int:
    """Forbid core files of this process, and return the soft limit on their size that it had.

    The limit is for what this process starts. A core handler (core(5), core_pattern with a pipe) may ignore
    it, and is not called for a process that is not dumpable. Such a one's files in /proc are root's: others
    of the user can neither read its environment, its memory and its descriptors, nor trace it. What it starts
    by execve(2) is dumpable again.
    """
    before, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    return before


class allowed:
    """The block starts a process that may leave core files of `size` bytes (-1: of any size).

    This process leaves none meanwhile either: it is not dumpable.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> None:
        self._limit(self.size)

    def __exit__(self, *_: object) -> None:
        self._limit(0)

    def _limit(self, size: int) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (size, resource.getrlimit(resource.RLIMIT_CORE)[1]))
