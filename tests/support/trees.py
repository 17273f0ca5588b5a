"""Real process trees with known memory, that live until their pipe is closed."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ardaemon.core.model import Process
from ardaemon.host import proc

# Whoever reads from stdin ends with it; so nothing is left of a tree, however deep.
PRELUDE = """
import mmap, os, sys, time
def hold(mb):
    data = bytearray(mb << 20)
    for at in range(0, len(data), 4096): data[at] = 1
    return data
def child(work):
    pid = os.fork()
    if pid == 0:
        try: work()
        finally: os._exit(0)
    return pid
def rest(): os.read(0, 1)
def ready(word="ready"):
    print(word, flush=True)
    rest()
"""


@contextmanager
def tree(script: str, environment: Mapping[str, str] | None = None) -> Iterator[tuple[Process, str]]:
    """Run a script; its first process, and the word that it said when it was ready."""
    argv = [sys.executable, "-c", PRELUDE + script]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        word = process.stdout.readline().strip()
        start = proc.start_time(process.pid)
        assert start is not None
        yield Process(process.pid, start), word
