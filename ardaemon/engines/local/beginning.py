"""Wait until a shim has begun the attempt that it was given, or end the shim: the attempt never started then.

A shim that is stopped (SIGSTOP) or hangs before it has written start.json keeps the attempt's lock, and would
start the job whenever it is woken. So another shim gets the attempt only once that lock is free.
"""

import logging
import os
import signal
import time
from pathlib import Path

import anyio
import anyio.to_thread

from ardaemon.core.errors import StorageError
from ardaemon.core.layout import Attempt
from ardaemon.core.model import Process
from ardaemon.core.run_record import Handle
from ardaemon.engines.base import Probe, Running, Unsupervised
from ardaemon.engines.local.prober import Prober
from ardaemon.engines.local.records import place_of
from ardaemon.host import file_lock, proc, processes

log = logging.getLogger("ardaemon.engine")

# A launch has waited for its shim already (starter.ACKNOWLEDGE_S); a daemon that was just started has not. If
# a shim is ended that was only slow, that costs one more launch.
BEGIN_S = 10.0
FROZEN_S = 1.0  # a process stops at once, unless it hangs in the kernel
GONE_S = 5.0  # after KILL, on a machine that swaps
POLL_S = 0.02  # start.json's coming, a stop and a lock's release are no events


async def begun(prober: Prober, handle: Handle) -> Probe:
    """Wait until the attempt has begun or is over, and return how it stands; end a shim that does not begin.

    Raises StorageError if the attempt's folder is away (then nobody can tell) or the shim cannot be ended.
    """
    probe = await _decided(prober, handle, BEGIN_S)
    if probe is not None:
        return probe
    for shim in await anyio.to_thread.run_sync(given_to, handle):
        if not await _end(handle, shim):
            return await anyio.to_thread.run_sync(prober.probe, handle)
    probe = await _decided(prober, handle, GONE_S)
    if probe is None:
        raise StorageError(
            f"the shim of {handle.folder} has not begun it and cannot be ended: it may hang on a disk",
            f"look at it: cat {place_of(handle).shim_lock} (its pid and start time)",
        )
    return probe


async def _decided(prober: Prober, handle: Handle, seconds: float) -> Probe | None:
    """Return how the attempt stands once it has begun or is over; None if that takes more than `seconds`."""
    end = time.monotonic() + seconds
    while _undecided(probe := await anyio.to_thread.run_sync(prober.probe, handle)):
        if time.monotonic() > end:
            return None
        await anyio.sleep(POLL_S)
    return probe


def _undecided(probe: Probe) -> bool:
    """Return whether a lock is held although nothing is written: the attempt may begin yet, or never."""
    match probe:
        case Running(shim=None):
            return True
        case Unsupervised(processes=(), deadline=None):
            return True
    return False


def given_to(handle: Handle) -> list[Process]:
    """Return the shim that the lock file names; if it names none that lives, who has the file open."""
    named = file_lock.named_holder(place_of(handle).shim_lock)
    return [named] if named is not None else processes.holding(place_of(handle).shim_lock)


async def _end(handle: Handle, shim: Process) -> bool:
    """Kill a shim that has not begun its attempt. Return False, and let it go on, if it has.

    The shim is stopped before anything is looked at: otherwise it could begin between the look and the kill.
    """
    number = signal.SIGCONT
    processes.kill([shim], signal.SIGSTOP)
    try:
        await _frozen(shim)
        if not await anyio.to_thread.run_sync(_has_begun, handle, shim):
            number = signal.SIGKILL
    finally:
        processes.kill([shim], number)
    facts = {"pid": shim.pid, "folder": handle.folder, "sent": number.name}
    log.warning("shim did not begin in time", extra={"facts": facts})
    return number == signal.SIGKILL


async def _frozen(shim: Process) -> None:
    """Wait until the shim is stopped; one that hangs in the kernel ends by SIGKILL before it runs again."""
    end = time.monotonic() + FROZEN_S
    while proc.start_time(shim.pid) == shim.start and not proc.stopped(shim.pid):
        if time.monotonic() > end:
            return
        await anyio.sleep(POLL_S)


def _has_begun(handle: Handle, shim: Process) -> bool:
    """Return whether start.json is there, whatever it says, or the shim has a child.

    Raises StorageError if the folder is away.
    """
    try:
        names = os.listdir(handle.folder)  # one call: start.json is missing, and its folder is not
    except FileNotFoundError as error:
        # Not FolderAway, which says that nothing lives: the shim does.
        raise StorageError(f"the folder {handle.folder} is gone", "put it back where it was") from error
    return Attempt(Path(handle.folder)).start.name in names or bool(proc.descendants(shim.pid))
