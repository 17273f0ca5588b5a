"""`ardaemon` that writes down each file below a folder that it touches on its event loop.

Run as `python -m tests.support.on_loop serve …` with $ON_LOOP_LOG and $ON_LOOP_ROOT.
"""

import asyncio
import os
import sys
import traceback
from typing import Any

from ardaemon.cli import main

DEEDS = frozenset(
    "open os.listdir os.scandir os.rename os.remove os.mkdir os.rmdir os.link os.symlink".split()
)


def watch(root: str, log: int) -> None:
    """From here on, write a line with the callers for each such deed below the folder `root`."""

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in DEEDS or asyncio._get_running_loop() is None:
            return
        paths = [os.fsdecode(path) for path in arguments if isinstance(path, str | bytes | os.PathLike)]
        if any(path.startswith(root) for path in paths):
            calls = traceback.extract_stack()[-8:-1]
            ways = " < ".join(f"{os.path.basename(call.filename)}:{call.name}" for call in reversed(calls))
            os.write(log, f"{event} {paths[0]}: {ways}\n".encode(errors="replace"))

    sys.addaudithook(look)


if __name__ == "__main__":
    created = os.open(os.environ["ON_LOOP_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    watch(os.environ["ON_LOOP_ROOT"], created)
    main()
