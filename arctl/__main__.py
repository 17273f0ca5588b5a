"""`python -m arctl` is `arctl`; both enter here."""

import gc
import os
import sys

# Half a hundred modules are imported, hardly anything becomes garbage: the collections in between
# were some 8% of the start (measured). The limit stays, for commands that run for hours.
GC_THRESHOLD = 50_000
UNSAID = 74  # EX_IOERR of sysexits.h: all went well, and could not be said


def main() -> None:
    """Console entry point."""
    gc.set_threshold(GC_THRESHOLD)
    try:
        from arctl.cli import main as run
    except KeyboardInterrupt:
        os._exit(130)  # nothing was begun

    code = run()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:  # a terminal that is gone by now; what was decided stands
            code = code or UNSAID
    # All is said: taking a hundred modules down in order would cost every command some milliseconds.
    os._exit(code)


if __name__ == "__main__":
    main()
