"""`ardaemon` whose event loop hangs from SIGUSR1 on. Run as `python -m tests.support.hanging serve`."""

import signal
import time

from ardaemon.cli import main

HANG_S = 600.0  # longer than any test waits


def hang(*_: object) -> None:
    """Block the thread of the event loop."""
    time.sleep(HANG_S)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, hang)
    main()
