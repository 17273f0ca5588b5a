"""`ardaemon` in which a file is replaced between the look at it and its opening, and whose memory is limited.

Run as `python -m tests.support.swapping serve …` with $SWAP, a file that says what to do next: the end of the
path, a line end, and what to put there ("fifo", or where a link is to lead). It is removed when that is done.
"""

import os
import resource
from pathlib import Path

from ardaemon.cli import main
from ardaemon.core import files

MEMORY_MAX = (
    8 << 30
)  # bytes of addresses: what reads all of an endless file must not take the machine's memory


def swap(order: Path, path: files.Path) -> None:
    """Do what the order says, if it is about this path."""
    try:
        end, whole, thing = order.read_text().partition("\n")
    except FileNotFoundError:
        return
    name = os.fspath(path)
    if whole and name.endswith(end):  # it may be half written
        order.unlink(missing_ok=True)
        os.unlink(name)
        os.mkfifo(name) if thing == "fifo" else os.symlink(thing, name)


def install(order: Path) -> None:
    """From here on each look at a file may be followed by a swap."""
    look = files.require_plain

    def looked(status: os.stat_result, path: files.Path) -> None:
        look(status, path)
        swap(order, path)

    files.require_plain = looked


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    install(Path(os.environ["SWAP"]))
    main()
