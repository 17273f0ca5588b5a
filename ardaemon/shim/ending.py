"""What a shim writes down of an end, and how: exit.json's words, and the waiting for the disk.

Standard library alone, for the shim.
"""

import os
import signal
import time

from ardaemon.host import durable, operations

DISK_RETRY_S = 2.0  # while exit.json cannot be written (disk full)
NO_DISK = "ar-no-disk"  # a shim's name in /proc meanwhile: it has no other way to tell
DISK_RETRIES = 1800  # an hour; then the run counts as lost


def now() -> str:
    """The time of day as it stands in files."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def text(error: Exception) -> str:
    """What went wrong, as every JSON reader takes it: a file's name may hold bytes that are no text."""
    return (str(error) or type(error).__name__).encode("utf-8", "replace").decode()


def decode(status: int | None) -> tuple[int | None, str | None]:
    """Exit code and signal of a wait status; None for what does not apply."""
    if status is None:
        return None, None
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return None, signal.Signals(number).name
        except ValueError:
            return None, f"SIG{number}"
    return os.waitstatus_to_exitcode(status), None


def keep(path: str, data: bytes, log: int) -> None:
    """Write exit.json, again and again while the disk refuses.

    It says that the log is whole: so that is synced first. Then the log is closed: where it is what
    fills the disk, deleting it must free the space.
    """
    for _ in range(DISK_RETRIES):
        try:
            if log >= 0:
                operations.fsync(log)
                os.close(log)
                log = -1
            return durable.write(path, data)
        except FileNotFoundError:
            return None  # the folder was deleted: nobody is left to tell
        except OSError:
            _call_oneself(NO_DISK)
            time.sleep(DISK_RETRY_S)
    return None


def _call_oneself(name: str) -> None:
    try:
        with open("/proc/self/comm", "w", encoding="ascii") as file:
            file.write(name)
    except OSError:
        pass
