"""Probe an attempt: kernel locks, exit.json, the boot id and /proc tell how it stands."""

import os
from pathlib import Path

from msgspec.structs import replace

from ardaemon.core.layout import COMMAND_MARK, JOB, Attempt
from ardaemon.core.model import Process
from ardaemon.core.run_record import Handle
from ardaemon.engines.base import Finished, FolderAway, Lost, NeverStarted, Probe, Running, Unsupervised
from ardaemon.engines.local.records import StartFile, noted_start, place_of, read_exit, read_start, shim_lives
from ardaemon.host import proc, processes
from ardaemon.host.file_lock import is_locked


class Prober:
    """Asks lock × exit.json. What it found may change a moment later."""

    def __init__(self, boot: str) -> None:
        """`boot` is this boot's id."""
        self.boot = boot

    def probe(self, handle: Handle) -> Probe:
        """Return how an attempt stands: held lock, exit.json, boot id, living processes; in this order.

        Raises FolderAway if its folder is not where it was and nothing of it lives: nobody can tell then.
        """
        return self.look(handle)[0]

    def look(self, handle: Handle) -> tuple[Probe, StartFile | None]:
        """Return how an attempt stands, and its start.json. Raises as probe()."""
        start = read_start(handle)
        return self._probe(handle, start), start

    def _probe(self, handle: Handle, start: StartFile | None) -> Probe:
        attempt, place = Attempt(Path(handle.folder)), place_of(handle)
        # After a reboot the same pid and start time may be those of any process.
        if is_locked(place.shim_lock) or (place.boot_id == self.boot and shim_lives(start)):
            return running(start)
        finished, known = read_exit(attempt), start or noted_start(handle)
        if finished is not None:
            left = self._left(handle, known, finished) if place.boot_id == self.boot else []
            if left:
                return Unsupervised(processes=tuple(left), recorded=True)
            return replace(finished, restarted=place.boot_id != self.boot, boot_id=place.boot_id)
        if place.boot_id != self.boot:
            return Lost(ending="host_restart")
        alive = self._alive(handle, known)
        if start is None and known is not None:
            # Of what has let go of its lock and written nothing, the shim itself is only still ending. It
            # was told to before it could hear it, say: no job has begun.
            alive = [process for process in alive if (process.pid, process.start) != known.shim]
        if not alive and is_locked(place.job_lock):  # what has left the tree and its environment behind
            alive = processes.holding(place.job_lock)
        if alive or is_locked(place.job_lock):
            begun = known if alive else start  # a note alone does not say that the attempt has begun
            return Unsupervised(processes=tuple(alive), deadline=begun.deadline if begun else None)
        if not os.path.isdir(handle.folder):
            raise folder_gone(handle)
        return NeverStarted() if start is None else Lost(ending="supervisor_lost")

    def _left(self, handle: Handle, start: StartFile | None, finished: Finished) -> list[Process]:
        """Return what lives though exit.json says that all has ended: a shim verifies that before it writes.

        Not what the shim itself has named there, and could not kill. The job can write that name as well, so
        the kernel is asked.
        """
        job_lock = place_of(handle).job_lock
        if start is not None and start.tree:
            alive = processes.in_cgroup(start.tree)
        else:
            alive = processes.tagged(*_tags(handle), without=COMMAND_MARK)
        if is_locked(job_lock):
            alive += processes.holding(job_lock)
        named = {(survivor.pid, survivor.start) for survivor in finished.exit.survivors}
        return [p for p in alive if (p.pid, p.start) not in named or not proc.unkillable(p.pid)]

    def _alive(self, handle: Handle, start: StartFile | None) -> list[Process]:
        named = [] if start is None else [start.shim, *([start.job] if start.job else [])]
        known = [Process(pid, begun) for pid, begun in named if begun is not None]
        by_pid = {p.pid: p for p in processes.living(known)}
        by_pid.update((p.pid, p) for p in processes.tagged(*_tags(handle), without=COMMAND_MARK))
        if start is not None and start.tree:
            by_pid.update((p.pid, p) for p in processes.in_cgroup(start.tree))
        return list(by_pid.values())


def folder_gone(handle: Handle) -> FolderAway:
    """Return the error for an attempt whose folder is away: nothing can be said of it."""
    return FolderAway(f"the folder {handle.folder} is gone", "put it back where it was")


def running(start: StartFile | None) -> Running:
    """Return how an attempt stands whose shim lives, by its start.json."""
    if start is None or start.shim[1] is None:
        return Running()
    job = start.job
    return Running(
        shim=Process(start.shim[0], start.shim[1]),
        job=Process(job[0], job[1]) if job and job[1] is not None else None,
        monotonic=start.monotonic,
        cgroup=start.tree,
        over_by=start.over_by,
    )


def _tags(handle: Handle) -> list[dict[str, str]]:
    """Return what the environment of the attempt's processes holds; the second is of earlier versions."""
    run = os.path.dirname(handle.folder)
    return [
        {"AR_RUN_DIR": folder, "AR_ATTEMPT": str(handle.attempt)} for folder in (os.path.join(run, JOB), run)
    ]
