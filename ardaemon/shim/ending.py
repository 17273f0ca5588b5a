"""Helpers to write exit.json: its words, and the waiting while the disk is full.

Standard library alone, for the shim.
"""

import ctypes
import os
import time

from ardaemon.host import durable, operations, signals
from ardaemon.shim import records

DISK_RETRY_S = 2.0  # between two tries to write exit.json (disk full)
NO_DISK = "ar-no-disk"  # the shim's name in /proc meanwhile: it has no other way to show its trouble
PR_SET_NAME = 15  # linux/prctl.h
DISK_RETRIES = 1800  # an hour; then the run counts as lost


def now() -> str:
    """Return the time of day as files have it: UTC, ISO 8601, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def text(error: Exception) -> str:
    """Return the error's words as valid UTF-8: a file's name in them may hold bytes that are no text."""
    return (str(error) or type(error).__name__).encode("utf-8", "replace").decode()


def decode(status: int | None) -> tuple[int | None, str | None]:
    """Return the exit code and the signal's name of a wait status; None for the one that does not apply."""
    if status is None:
        return None, None
    if os.WIFSIGNALED(status):
        return None, signals.name(os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status), None


def keep(path: str, facts: dict[str, object], log: int) -> None:
    """Write exit.json durably, and try again while the disk refuses, DISK_RETRIES times at most.

    exit.json says that the log is whole, so the log (a descriptor, or -1) is synced first. Then the log is
    closed: if it is the log that fills the disk, deleting the file must free the space. A disk without room
    is noted in the record, for the job may have failed by it and its log could not say so.
    """
    for _ in range(DISK_RETRIES):
        try:
            if log >= 0:
                operations.fsync(log)
                os.close(log)
                log = -1
            return durable.write(path, records.encode(facts))
        except FileNotFoundError:
            return None  # the folder was deleted: nobody will read it
        except OSError as error:
            facts["disk_full"] = facts["disk_full"] or error.errno in operations.FULL
            _call_oneself(NO_DISK)
            time.sleep(DISK_RETRY_S)
    return None


def _call_oneself(name: str) -> None:
    """Set this process's name in /proc; its own file there is root's (host/core_files.py)."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode(), 0, 0, 0)
