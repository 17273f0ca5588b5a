"""The local engine: starts shims on this machine, and finds them again by locks, exit.json and /proc."""

import contextlib
import logging
import os
import re
import signal
import time
from collections.abc import Callable, Iterable

import anyio
import anyio.to_thread
from msgspec.structs import asdict

from ardaemon.core.config import GRACE_S, PIDS_MAX
from ardaemon.core.folder_key import folder_key
from ardaemon.core.layout import Host, Run, boot_id
from ardaemon.core.model import Exit, Process
from ardaemon.core.queue import Seat, Stranger
from ardaemon.core.run_record import Handle
from ardaemon.engines.base import Finished, Launch, Lost, NeverStarted, Probe, Running, Started, Unsupervised
from ardaemon.engines.local import beginning
from ardaemon.engines.local.adoption import Adoption
from ardaemon.engines.local.ports import Lessor
from ardaemon.engines.local.prober import Prober, running
from ardaemon.engines.local.records import (
    LocalPlace,
    StartFile,
    known_start,
    place_of,
    refuse_exit,
    shim_lives,
)
from ardaemon.engines.local.starter import Starter
from ardaemon.gpus.lease import Lease, Taken
from ardaemon.host import cgroup, durable, proc, processes
from ardaemon.host.file_lock import is_locked
from ardaemon.shim import ending as ending_file

log = logging.getLogger("ardaemon.engine")

OVERDUE_S = 2.0  # a shim that is so late is looked at, and again so often: is it stopped?
LOCK_POLL_S = 0.02  # for a lock's release, which is no event
_LOCK = re.compile(r"[0-9a-f]{16}-(?P<run>r[0-9]+)-a(?P<attempt>[0-9]+)")  # how `handle` names locks


class LocalEngine:
    """Starts attempts through a parked shim; asks lock × exit.json how they stand."""

    name = "local"

    def __init__(
        self,
        host: Host,
        lessor: Lessor,
        grace: Callable[[], float] = lambda: GRACE_S,
        pids_max: int | None = PIDS_MAX,
        core_limit: int | None = None,
    ) -> None:
        """`pids_max` and `core_limit` as in Starter."""
        self.locks, self.boot, self.lessor = host.locks, boot_id(), lessor
        self.starter = Starter(pids_max, core_limit)
        self.prober = Prober(self.boot)
        self.starts: dict[str, StartFile] = {}  # of attempts that were looked at, by folder
        self.adoption = Adoption(self.prober, lessor, grace)

    # --- starting ---

    def handle(self, run: Run, attempt: int) -> Handle:
        """Name the attempt: its folder and the locks that its shim and job will hold."""
        folder = run.attempt(attempt).folder
        key = f"{folder_key(folder)}-{run.run_id}-a{attempt}"
        place = LocalPlace(
            shim_lock=str(self.locks / f"{key}.shim.lock"),
            job_lock=str(self.locks / f"{key}.job.lock"),
            boot_id=self.boot,
        )
        return Handle(engine=self.name, attempt=attempt, folder=str(folder), place=asdict(place))

    def check(self, handle: Handle) -> None:
        """Raise CorruptState if the handle does not say where its attempt is."""
        place_of(handle)

    async def start(self, launch: Launch) -> Started | Taken | None:
        """Lease the attempt's GPUs, give it to the spare shim, and wait until that has spawned the job."""
        lease = await self.lessor.lease(launch.seat) if launch.seat.cards else Lease()
        if isinstance(lease, Taken):
            return lease
        try:
            started = await self.starter.start(launch, tuple(lease.fds))
        finally:
            lease.close()  # shim and job have their copies
        if started is not None and started.error is None:
            self.starts[launch.handle.folder] = self.starter.start_file(launch, started)
        return started

    async def keep_ready(self) -> None:
        """Park a spare shim, if there is none. Raises OSError."""
        await self.starter.prepare()

    def sweep(self, known: Iterable[Handle]) -> None:
        """Remove locks that nobody holds and empty cgroups: of runs that a killed daemon had committed.

        Not the locks of `known`: what they note says where an attempt lives whose shim is gone.
        """
        cgroup.sweep()
        ours = set(map(_key, known))
        for path in self.locks.glob("*.lock"):
            if path.name.split(".")[0] not in ours and not is_locked(str(path)):
                durable.remove(path)

    def strangers(self, known: Iterable[Handle]) -> list[Stranger]:
        """List the attempts that something on this machine still runs and that are none of `known`."""
        alive = {path.name.split(".")[0] for path in self.locks.glob("*.lock") if is_locked(str(path))}
        ours = set(map(_key, known))
        parts = [match for match in map(_LOCK.fullmatch, sorted(alive - ours)) if match is not None]
        return [Stranger(run=part["run"], attempt=int(part["attempt"])) for part in parts]

    def close(self) -> None:
        """Dismiss the spare; shims at work go on without us."""
        self.starter.close()

    # --- asking ---

    async def begun(self, handle: Handle) -> Probe:
        """Wait until the attempt has begun or is over; end a shim that does not begin it."""
        return await beginning.begun(self.prober, handle)

    def probe(self, handle: Handle) -> Probe:
        """Return how the attempt stands. Raises StorageError while its folder is not where it was."""
        return self.prober.probe(handle)

    async def ended(self, handle: Handle) -> Finished | Lost | NeverStarted:
        """Wait for the end: of the shim while there is one, else of everything that it left.

        A job that has begun is waited for as long as it takes, since its place is taken as long. Its shim
        ends it at its limit, and is woken if it is stopped; without a shim, adoption ends it.
        """
        adopted = False
        begun = self.starts.get(handle.folder)  # as this daemon has started it: there is nothing to look up
        probe: Probe = running(begun) if begun is not None else await self._look(handle)
        while True:
            match probe:
                case Running():
                    await self._shim_gone(handle, probe)
                case Unsupervised():
                    adopted = adopted or bool(probe.processes)
                    if probe.recorded:
                        await self._refuse_exit(handle)
                    survivors = await self.adoption.adopt(handle, probe)
                    if survivors:
                        return await anyio.to_thread.run_sync(self._unclean, handle, tuple(survivors))
                case _:
                    self.starter.reap(handle)
                    # What has lived without a shim is judged by nothing that was written since. And what this
                    # daemon has seen begin has begun, whatever became of its start.json.
                    gone = isinstance(probe, NeverStarted) and begun is not None
                    return Lost(ending="supervisor_lost") if adopted or gone else probe
            probe = await self._look(handle)

    async def _refuse_exit(self, handle: Handle) -> None:
        """End what lives though its end was recorded; that record counts for no daemon any more."""
        await anyio.to_thread.run_sync(refuse_exit, handle)
        log.warning("exit.json refused", extra={"facts": {"folder": handle.folder, "why": "processes live"}})
        self.adoption.stopping.setdefault(handle.folder, None)

    async def _look(self, handle: Handle) -> Probe:
        """Probe in a thread, so that a dead disk holds up this attempt alone; keep its start.json."""
        probe, start = await anyio.to_thread.run_sync(self.prober.look, handle)
        if start is not None:
            self.starts[handle.folder] = start
        return probe

    def _unclean(self, handle: Handle, survivors: tuple[Process, ...]) -> Finished:
        """Return the end of an adopted attempt of which processes survived their kill."""
        start = known_start(handle)
        group = start.tree if start is not None else ""
        end = Exit(ending="supervisor_lost", survivors=survivors, cgroup=group)
        return Finished(exit=end, boot_id=self.boot)

    async def _shim_gone(self, handle: Handle, running: Running) -> None:
        """Wait until the shim has ended and its lock is free, or look again soon."""
        child = self.starter.children.get(handle.folder)
        if running.shim is None:  # its start.json cannot be read; its own limit ends it
            await anyio.sleep(LOCK_POLL_S)
            return
        if not await self._over(running.shim, running.over_by):
            return
        if child is not None:
            child.process.poll()  # only reaps: what start.json calls the shim may be another process
        # A fork of the shim in mid-spawn may hold the lock a moment longer.
        if is_locked(place_of(handle).shim_lock):
            await anyio.sleep(LOCK_POLL_S)

    async def _over(self, shim: Process, by: float | None) -> bool:
        """Wait for the shim's end. Wake a shim that is overdue and stopped, and return False: it goes on."""
        left = OVERDUE_S if by is None else max(by - time.monotonic(), 0.0) + OVERDUE_S
        with anyio.move_on_after(left):
            await processes.gone(shim)
            return True
        if proc.stopped(shim.pid):
            log.warning("supervisor stopped", extra={"facts": {"pid": shim.pid, "mend": "sent SIGCONT"}})
            processes.kill([shim], signal.SIGCONT)
        return False

    # --- ending ---

    async def stop(self, handle: Handle) -> None:
        """Send SIGTERM to the shim; to the tree itself where the shim is gone. Raises StorageError."""
        await anyio.to_thread.run_sync(self._stop, handle)

    def _stop(self, handle: Handle) -> None:
        self.adoption.stopping.setdefault(handle.folder, None)
        probe = self.probe(handle)
        if isinstance(probe, Running):
            # Without start.json: it has not begun, or somebody has removed its folder.
            shims = [probe.shim] if probe.shim is not None else beginning.given_to(handle)
            processes.kill(shims, signal.SIGTERM)
            processes.kill(shims, signal.SIGCONT)  # should it be stopped
        elif isinstance(probe, Unsupervised):
            self.adoption.ask_to_end(handle, probe)

    def waits(self, handle: Handle) -> str | None:
        """Return what the shim waits for though the job has ended; None if it waits for nothing."""
        start = self.starts.get(handle.folder)
        if start is None or not shim_lives(start) or proc.name(start.shim[0]) != ending_file.NO_DISK:
            return None
        return f"it has ended, and its record waits for space on the disk: {handle.folder}"

    def hold(self, handle: Handle, seat: Seat) -> None:
        """Hold the GPUs of the attempt's seat from now on, should its shim be lost."""
        if seat.cards:
            self.adoption.hold(handle, seat)

    async def keep(self, handle: Handle) -> None:
        """Lease the GPUs of an attempt that is over: what held them for it has ended."""
        await self.adoption.lease(handle)

    def forget(self, handle: Handle) -> None:
        """Remove the attempt's lock files, let go of its GPUs, and leave its cgroups to be removed."""
        self.starter.reap(handle)
        self.adoption.forget(handle)
        start = self.starts.pop(handle.folder, None)
        for folder in (start.tree, start.pids_cgroup) if start is not None else ():
            if cgroup.ours(folder):
                self.starter.empty.add(folder)
        place = place_of(handle)
        for path in (place.shim_lock, place.job_lock):
            with contextlib.suppress(OSError):
                durable.remove(path)


def _key(handle: Handle) -> str:
    """Return what the names of an attempt's locks begin with."""
    return os.path.basename(place_of(handle).shim_lock).split(".")[0]
