"""What a process holds: memory, descriptors, threads; and who is in a session (proc(5))."""

import os
from pathlib import Path
from typing import NamedTuple

from tests.support.look import into


class Usage(NamedTuple):
    """Of one process, at one moment."""

    memory: int  # bytes of private and shared pages, the shared ones in proportion (Pss)
    descriptors: int
    threads: int


def usage(pid: int) -> Usage:
    """As it is now."""
    rollup = (into(pid) / "smaps_rollup").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return Usage(kib << 10, len(os.listdir(into(pid) / "fd")), len(os.listdir(f"/proc/{pid}/task")))


def of_session(leader: int) -> list[int]:
    """Every process of a session, in whatever group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found
