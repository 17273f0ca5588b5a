"""The entry point of `arctl` and of `python -m arctl`."""

import gc
import os
import sys

# The start imports half a hundred modules and makes hardly any garbage: with the usual threshold the
# collections were some 8% of it (measured). There still is a threshold, for commands that run for hours.
GC_THRESHOLD = 50_000
UNWRITTEN = 74  # EX_IOERR of sysexits.h: the command went well, but its output could not be written


def main() -> None:
    """Run `arctl` and end the process with its exit code."""
    gc.set_threshold(GC_THRESHOLD)
    sys.path[:] = _absolute(sys.path, os.environ.get("PYTHONPATH", ""))
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


def _absolute(path: list[str], given: str) -> list[str]:
    """Return the search path for modules less the empty and relative entries of PYTHONPATH (`given`).

    An agent calls `arctl` in any folder, and a `click.py` there must not run in it. The interpreter has made
    empty and relative entries absolute by now (module site). The folder of arctl itself stays.
    """
    entries = given.split(os.pathsep) if given else []
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    kept = {own, *(os.path.normpath(entry) for entry in entries if os.path.isabs(entry))}
    try:
        unwanted = {os.path.abspath(entry) for entry in entries if not os.path.isabs(entry)} - kept
    except FileNotFoundError:  # the working folder is gone
        unwanted = set()
    return [entry for entry in path if os.path.isabs(entry) and entry not in unwanted]


if __name__ == "__main__":
    main()
