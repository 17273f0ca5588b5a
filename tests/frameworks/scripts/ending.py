"""How a script of the matrix ends, and what it has reported before; copied beside each of them.

`told()` is called right after a value was given to the framework: its lines are the truth that the reading is
held against. `end()` is called when all were given. Standard library alone.
"""

import json
import os
import signal
import time
from pathlib import Path

ROWS = 25  # no multiple of what any of them holds back
# From the last row to the kill: as long as METRICS measured it for wandb, whose own flush comes after 15 s.
QUIET_S = 3.0
RUN_FOLDER = Path(os.environ["AR_RUN_DIR"])


def rows() -> list[tuple[int, float]]:
    """Step and value of what a script without a model reports."""
    return [(step, 1.0 / step) for step in range(1, ROWS + 1)]


def told(step: int, value: float) -> None:
    with (RUN_FOLDER / "told.jsonl").open("a") as file:
        file.write(json.dumps([step, value]) + "\n")


def end() -> None:
    """Come to the end that MATRIX_ENDING names; returns only from `normal`."""
    ending = os.environ["MATRIX_ENDING"]
    if ending == "exception":
        raise RuntimeError("as the matrix asks for")
    if ending == "deadline":
        (RUN_FOLDER / "ready").touch()  # from here on the limit counts
        time.sleep(600)
    if ending == "sigkill":
        time.sleep(QUIET_S)
        os.kill(0, signal.SIGKILL)  # the whole process group, as the kernel out of memory would
