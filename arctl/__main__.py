"""The entry point of `arctl` and of `python -m arctl`."""

import gc
import os
import sys

from ardaemon.core import own_start

# The start imports half a hundred modules and makes hardly any garbage: with the usual threshold the
# collections were some 8% of it (measured). There still is a threshold, for commands that run for hours.
GC_THRESHOLD = 50_000
UNWRITTEN = 74  # EX_IOERR of sysexits.h: the command went well, but its output could not be written


def main() -> None:
    """Run `arctl` and end the process with its exit code."""
    gc.set_threshold(GC_THRESHOLD)
    own_start.begin()
    try:
        from arctl.cli import main as run
    except KeyboardInterrupt:
        os._exit(130)  # Ctrl+C during the imports: nothing was begun

    code = run()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:  # the terminal is gone by now; the command's effect stands
            code = code or UNWRITTEN
    # Without the interpreter's orderly end, which would cost every command some milliseconds for a hundred
    # modules.
    os._exit(code)


if __name__ == "__main__":
    main()
