"""The process that parses and compares versions of train.py, which are somebody else's.

Python's parser may take minutes for a file of 1 MiB, and holds the interpreter's lock meanwhile; a comparison
of many equal lines takes long as well. So the daemon asks this process, and kills it when it is late.

One JSON line {"id", "sizes", "edit", "limits", "cpu_s"} on stdin is followed by the sources, of so many
bytes each. One line on stdout answers. Nothing else goes in or out: no file is opened. The standard library
alone.
"""

import json
import os
import resource
import sys
from typing import Any

from ardaemon.source.edit import Limits, edit
from ardaemon.source.normal import normal, parsed, raw

MEMORY_MAX = 1 << 30  # bytes of address space: the tree of 1 MiB of numbers takes half of it


def answer(request: dict[str, Any], sources: list[bytes]) -> dict[str, Any]:
    """Return the answer to one request."""
    try:
        if not request["edit"]:
            return {"normal": normal(sources[0], parsed(sources[0]))}
        before = sources[1] if len(sources) > 1 else None
        return edit(before, sources[0], Limits(*request["limits"]))
    except (MemoryError, RecursionError):
        return {"normal": raw(sources[0])}


def limit(seconds: int) -> None:
    """End this process after so many seconds of CPU time more: whoever would kill it may have ended."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(
        resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, resource.RLIM_INFINITY)
    )


def main() -> None:
    """Answer requests until stdin ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        limit(request["cpu_s"])
        sources = [sys.stdin.buffer.read(size) for size in request["sizes"]]
        text = json.dumps({"id": request["id"], **answer(request, sources)})
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    os._exit(0)
