"""A world whose wall clock can be set while it runs: daemon, shims, jobs and clients, and nobody else.

The library of clock.c is preloaded. A shim is started with an empty environment: there a small script stands
for the interpreter. Run as `python -m tests.support.clock serve …` for the daemon.
"""

import os
import struct
import sys
from pathlib import Path

from tests.support.compiler import build
from tests.support.lab import Lab

SOURCE = Path(__file__).with_suffix(".c")
INTERPRETER = """#!/bin/sh
LD_PRELOAD={library} CLOCK_OFFSET={offset} exec {python} "$@"
"""


class Clock:
    """The wall clock of a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.offset, library = lab.root / "clock", lab.root / "clock.so"
        self.set(0)
        build("-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl")
        self.interpreter = lab.root / "python"
        text = INTERPRETER.format(library=library, offset=self.offset, python=sys.executable)
        self.interpreter.write_text(text)
        self.interpreter.chmod(0o755)
        # The lab's environment is that of its clients, and of its jobs.
        lab.environment.update(LD_PRELOAD=str(library), CLOCK_OFFSET=str(self.offset))

    def start(self) -> None:
        """Start the lab's daemon under this clock."""
        self.lab.start("tests.support.clock", CLOCK_PYTHON=str(self.interpreter))

    def set(self, seconds: float) -> None:
        """Let it be wrong by so much."""
        with self.offset.open("r+b" if self.offset.exists() else "wb") as file:  # in place: it is mapped
            file.write(struct.pack("q", int(seconds)))


if __name__ == "__main__":
    from ardaemon.cli import main

    sys.executable = os.environ["CLOCK_PYTHON"]
    main()
