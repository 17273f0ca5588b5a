"""Where the tests' files lie: in memory, where the machine has enough of it.

What the daemon writes durably costs 2 to 16 ms a time on a disk, and a test with a run in it writes 30 times.
In memory it costs nothing, and whether each fsync is there is asked of the operations (tests/torture), not
of a disk. TMPDIR, where it is set, says where the files are to lie.

Loaded by pyproject.toml (`-p tests.support.memory`).
"""

import os
import tempfile

SHM = "/dev/shm"
ROOM = 4 << 30  # bytes; a container may give it 64 MiB


def is_roomy() -> bool:
    """Tell whether there is memory for our files, and programs among them can be run."""
    try:
        found = os.statvfs(SHM)
    except OSError:
        return False
    return (
        os.access(SHM, os.W_OK)
        and not found.f_flag & os.ST_NOEXEC
        and found.f_bavail * found.f_frsize >= ROOM
    )


# Of this process alone, and of what pytest makes: what the tests start has the environment as it is.
if "TMPDIR" not in os.environ and is_roomy():
    tempfile.tempdir = SHM
