"""`make test-loaded`: the tests that depend most on a machine's pace, again and again, beside busy cores.

A test that fails once in a hundred runs, on a machine that does something else as well, fails somebody's
change that has nothing to do with it. Each of these did, or resembles one that did.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECONDS = float(os.environ.get("LOADED_SECONDS", "300"))
TESTS = (
    "tests/measuring/test_usage.py",
    "tests/handlers",
    "tests/arctl/test_cli_with_daemon.py",
    "tests/watch/test_app.py",
    "tests/watch/test_moving.py",
    "tests/integration/test_races.py",
    "tests/integration/test_stopped_spare.py",
    "tests/integration/test_told_in_a_pipe.py",
    "tests/soak",
)
# Ends with whoever started it (prctl(2), PR_SET_PDEATHSIG), and takes all that a core has.
BUSY = "import ctypes\nctypes.CDLL(None).prctl(1, 9)\nwhile True: pass"


@contextmanager
def busy() -> Iterator[None]:
    """Keep every core busy."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


def main() -> int:
    """Run them as often as the time allows; the exit code of the first round that fails, else 0."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", *TESTS]
    end, rounds, took = time.monotonic() + SECONDS, 0, 0.0
    with busy():
        while (begun := time.monotonic()) + took < end:
            rounds += 1
            code = subprocess.run(command, cwd=ROOT, check=False).returncode
            if code:
                print(f"loaded: round {rounds} failed; to try it again: make test-loaded", file=sys.stderr)
                return code
            took = time.monotonic() - begun
    print(f"loaded: {rounds} rounds beside {len(os.sched_getaffinity(0))} busy cores, none failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
