"""What a process has of the shell that started it, beside the environment: limits, CPUs, priority, umask.

Standard library alone, for the client reads it at each submit.
"""

import os
import resource

# The limits of ulimit, by their names in getrlimit(2), each with ulimit's option and its name for people.
# Those of real-time priority and of signals are left out: no training meets them.
LIMITS = {
    "NOFILE": ("-n", "open files"),
    "NPROC": ("-u", "processes of the user"),
    "MEMLOCK": ("-l", "locked memory"),
    "STACK": ("-s", "stack"),
    "CORE": ("-c", "core files"),
    "CPU": ("-t", "CPU seconds"),
    "AS": ("-v", "address space"),
    "FSIZE": ("-f", "size of a file"),
    "DATA": ("-d", "data segment"),
}
# Those by which a run may end that a longer or larger one would not: they are told at each submit.
TOLD = ("CPU", "AS", "FSIZE", "DATA")
UNLIMITED = resource.RLIM_INFINITY  # -1


def umask() -> int:
    """Return this process's umask, which can only be read by setting it (umask(2))."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def number(name: str) -> int:
    """Return the number of a limit for getrlimit(2)."""
    return int(getattr(resource, f"RLIMIT_{name}"))


def of_this_process() -> dict[str, object]:
    """Return the soft limits, the CPUs and the nice value of this process, as run.submit takes them."""
    return {
        "limits": {name: resource.getrlimit(number(name))[0] for name in LIMITS},
        "affinity": sorted(os.sched_getaffinity(0)),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
    }
