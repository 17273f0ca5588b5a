"""Which of a shell's limits, CPUs and priority a job of this daemon's can be given, and which not.

The kernel lets an ordinary user's process have no more than the daemon itself may have: its hard limits, its
nice value, its CPUs.
"""

import os
import resource
from typing import NamedTuple

from ardaemon.core.shell_state import LIMITS, TOLD, UNLIMITED, number
from ardaemon.host import proc

CAP_SYS_NICE, CAP_SYS_RESOURCE = 23, 24  # linux/capability.h
CPUS_SHOWN = 8
UNITS = {
    "MEMLOCK": 1024,
    "STACK": 1024,
    "AS": 1024,
    "DATA": 1024,
    "CORE": 512,
    "FSIZE": 512,
}  # of sh's ulimit


class Mine(NamedTuple):
    """What this process may give to a job."""

    hard: dict[str, int]
    nice: int  # the lowest
    may_raise: bool  # the hard limits as well


def mine() -> Mine:
    """Return what this process may give to a job, by its limits and capabilities."""
    capabilities = proc.capabilities()
    least = 20 - resource.getrlimit(resource.RLIMIT_NICE)[0] if not capabilities >> CAP_SYS_NICE & 1 else -20
    return Mine(
        {name: resource.getrlimit(number(name))[1] for name in LIMITS},
        min(os.getpriority(os.PRIO_PROCESS, 0), least),
        bool(capabilities >> CAP_SYS_RESOURCE & 1),
    )


def lacking(limits: dict[str, int], nice: int | None, own: Mine) -> list[str]:
    """Return a line for each limit and the priority that a job cannot be given. Pure."""
    lines = [
        f"{_named(name)} {shown(name, wanted)}: the job gets {shown(name, own.hard[name])}, the most that"
        " the daemon was started with"
        for name, wanted in sorted(limits.items())
        if name in LIMITS and not own.may_raise and _more(wanted, own.hard[name])
    ]
    if nice is not None and nice < own.nice:
        lines.append(f"nice {nice}: the job gets nice {own.nice}, as the daemon was started with")
    return lines


def lacking_cpus(wanted: tuple[int, ...]) -> list[str]:
    """Return a line if the kernel does not let this thread have all of these CPUs; it keeps its own."""
    if not wanted:
        return []
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, wanted)
        given = os.sched_getaffinity(0)
    except (OSError, ValueError, OverflowError):  # none of them is there
        given = before
    finally:
        os.sched_setaffinity(0, before)
    if given == set(wanted):
        return []
    return [f"CPUs {_cpus(wanted)}: the job gets {_cpus(sorted(given))}, which the daemon may use"]


def told(limits: dict[str, int]) -> list[str]:
    """Return the limits by which a run may end, each as a person knows it. Pure."""
    return [
        f"{_named(name)} {shown(name, limits[name])}"
        for name in TOLD
        if limits.get(name, UNLIMITED) != UNLIMITED
    ]


def shown(name: str, value: int) -> str:
    """Return a limit as sh's `ulimit` prints it."""
    return "unlimited" if value == UNLIMITED else str(value // UNITS.get(name, 1))


def _named(name: str) -> str:
    option, text = LIMITS[name]
    return f"{text} (ulimit {option})"


def _more(wanted: int, most: int) -> bool:
    return most != UNLIMITED and (wanted == UNLIMITED or wanted > most)


def _cpus(numbers: "list[int] | tuple[int, ...]") -> str:
    more = ", …" if len(numbers) > CPUS_SHOWN else ""
    return ", ".join(map(str, numbers[:CPUS_SHOWN])) + more
